import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { startDynamoDb } from '../../../local/dynamodb.ts';
import { startSqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import { buildWorker } from '../../support/build-worker.ts';
import { ForgetfulProxy, type Forgetting } from '../../support/forgetful-proxy.ts';
import { startStub } from '../../support/stub-server.ts';
import { startTlsFront, type Certificate } from '../../support/tls-front.ts';
import type { Outcomes, Role } from './freeze-worker.ts';
import { FrozenProcess } from './frozen-process.ts';

/** The kinds of process that keep connections between requests, in the order of the tests. */
export const ROLES: readonly Role[] = [
  'api',
  'queue',
  'direct',
  'direct with a client of the caller’s',
  'HTTP',
  'Vault',
];

/** The response of the third server, which holds what the API, Lambda, Vault and KMS return. */
const ANSWER = {
  plaintext: 'aGVsbG8=',
  data: { plaintext: 'aGVsbG8=' },
  Plaintext: Buffer.alloc(32).toString('base64'),
  CiphertextBlob: 'aGVsbG8=',
  KeyId: 'arn:aws:kms:eu-west-1:111122223333:key/k',
};

/** Servers behind proxies that drop connections, and the processes that use them. */
export class FreezeFixture {
  /** Proxies in front of DynamoDB, SQS, and a third server: Lambda, the API, Vault or KMS, depending on the process. */
  readonly proxies: readonly ForgetfulProxy[];
  readonly #worker: string;
  readonly #settings: Readonly<Record<string, string>>;
  readonly #stop: () => Promise<unknown>;

  private constructor(
    proxies: readonly ForgetfulProxy[],
    worker: string,
    settings: Readonly<Record<string, string>>,
    stop: () => Promise<unknown>,
  ) {
    this.proxies = proxies;
    this.#worker = worker;
    this.#settings = settings;
    this.#stop = stop;
  }

  /** @param certificate the servers' TLS certificate. Without it, they use plain HTTP. */
  static async start(certificate?: Certificate): Promise<FreezeFixture> {
    const [worker, dynamoDb, sqs, stub] = await Promise.all([
      buildWorker(join(import.meta.dirname, 'freeze-worker.ts')),
      startDynamoDb('EncryptionKey', 0),
      startSqsEmulator(),
      startStub({ status: 200, body: JSON.stringify(ANSWER) }),
    ]);
    const ports = [dynamoDb.endpoint, sqs.endpoint, stub.url].map((url) => Number(new URL(url).port));
    const fronts = certificate && (await Promise.all(ports.map((port) => startTlsFront(port, certificate))));
    const proxies = await Promise.all(ports.map((port, i) => ForgetfulProxy.start(fronts?.[i]?.port ?? port)));
    const scheme = certificate === undefined ? 'http' : 'https';
    const [toDynamoDb = '', toSqs = '', toFunction = ''] = proxies.map(({ port }) => `${scheme}://127.0.0.1:${port}`);
    const settings = {
      INVOCATION_MS: '60000',
      POWERTOOLS_LOG_LEVEL: 'SILENT',
      POWERTOOLS_METRICS_DISABLED: 'true',
      ENDPOINT: toFunction,
      AWS_ENDPOINT_URL_LAMBDA: toFunction,
      AWS_ENDPOINT_URL_SQS: toSqs,
      QUEUE_ARN: sqs.ensureQueue('input').queueArn,
      KEYFOLD_OUTPUT_QUEUE_URL: toSqs + new URL(sqs.ensureQueue('output').queueUrl).pathname,
      KEYFOLD_DEAD_LETTER_QUEUE_URL: toSqs + new URL(sqs.ensureQueue('dead-letters').queueUrl).pathname,
      KEYFOLD_SERVICE: 'service',
      KEYFOLD_PRODUCT: 'product',
      KEYFOLD_AUTH: 'none',
      KEYFOLD_STATIC_MASTER_KEY_HEX: '00'.repeat(32),
      KEYFOLD_DYNAMODB_ENDPOINT: toDynamoDb,
    };
    const stop = async (): Promise<void> => {
      await Promise.all([...proxies, ...(fronts ?? [])].map((one) => one.stop()));
      await Promise.all([dynamoDb.close(), sqs.close(), stub.stop(), rm(dirname(worker), { recursive: true })]);
    };
    return new FreezeFixture(proxies, worker, settings, stop);
  }

  async stop(): Promise<void> {
    await this.#stop();
  }

  /** @param settings override environment variables of the process */
  process(role: Role, settings: Readonly<Record<string, string>> = {}): Promise<FrozenProcess> {
    return FrozenProcess.start(this.#worker, role, { ...this.#settings, ...settings });
  }

  /** The number of open connections to the server with the most connections. */
  get mostOpen(): number {
    return Math.max(...this.proxies.map(({ open }) => open));
  }

  /** Returns the sum of a counter over all proxies. */
  count(what: 'opened' | 'late' | 'held'): number {
    return this.proxies.reduce((sum, proxy) => sum + proxy[what], 0);
  }

  /** Freezes a process, makes the proxies drop all connections, and then makes requests in the process. */
  async freezeAndServe(
    process: FrozenProcess,
    { ms, forgetting, requests }: { readonly ms: number; readonly forgetting: Forgetting; readonly requests: number },
  ): Promise<Outcomes> {
    const thawed = process.freeze(ms);
    for (const proxy of this.proxies) proxy.forget(forgetting);
    const [outcomes] = await Promise.all([process.serve(requests), thawed]);
    return outcomes;
  }
}

/**
 * How many connections to one server stay open and idle after concurrent requests. The SDK's agents keep at most 50.
 * The HTTP client keeps all of them.
 */
export function idleAfter(role: Role, requests: number): number {
  return role === 'HTTP' ? requests : Math.min(requests, 50);
}

/** The expected results of successful requests. */
export function allWell(requests: number): Outcomes {
  return Array.from({ length: requests }, () => 'ok');
}
