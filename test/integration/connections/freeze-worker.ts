/**
 * The process that the tests freeze. On its parent's command, it makes requests through a real door or the real client.
 */
import { flushCompileCache } from 'node:module';
import type { APIGatewayProxyEventV2, Context, SQSEvent } from 'aws-lambda';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { KeyfoldClient, type KeyfoldClientOptions } from '../../../src/client/index.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { buildApi, buildQueue } from '../../../src/container.ts';
import { httpDoor } from '../../../src/doors/http.ts';
import { queueDoor } from '../../../src/doors/queue.ts';
import { AwsKms, DynamoDbMetastore, SessionFactory, StaticKms } from '../../../src/index.ts';
import { VaultKms } from '../../../src/kms/vault/index.ts';

/** The kinds of process that the tests freeze. */
export type Role = 'api' | 'queue' | 'direct' | 'direct with a client of the caller’s' | 'HTTP' | 'Vault' | 'KMS';

/** A command from the parent: make `requests` concurrent requests. `round` makes their data unique. */
export interface Round {
  readonly round: number;
  readonly requests: number;
}

/** The reply to the parent: `ok` or an error code for each request. */
export type Outcomes = readonly string[];

const INVOCATION_MS = Number(process.env['INVOCATION_MS']);
/** These timeouts are longer than any test, so that only the freeze guard can end an attempt on a dead connection. */
const PATIENT = { attemptTimeoutMs: INVOCATION_MS, totalTimeoutMs: INVOCATION_MS };
const context = { awsRequestId: 'r', getRemainingTimeInMillis: () => INVOCATION_MS } as Context;
const { ROLE: role = '', ENDPOINT: endpoint = '', QUEUE_ARN: queueArn = '' } = process.env;
const { KEYFOLD_DYNAMODB_ENDPOINT: dynamoDb = '' } = process.env;

type Serve = (round: Round) => Promise<Outcomes>;

/** A service that waits for DynamoDB longer than any test, so that no timeout ends a wait on a dead connection. */
function patientKeyfold(): SessionFactory {
  const metastore = new DynamoDbMetastore({ endpoint: dynamoDb, requestTimeoutMs: 300_000 });
  const kms = new StaticKms(new Uint8Array(32), {});
  return new SessionFactory({ service: 'service', product: 'product', metastore, kms });
}

async function api(): Promise<Serve> {
  const handler = httpDoor({ ...(await buildApi()), keyfold: patientKeyfold() });
  return ({ round, requests }) =>
    each(requests, async (i) => {
      // A new partition has no cached key, so the handler reads and writes DynamoDB.
      const { statusCode, body } = await handler(encryptEvent(`${process.pid}-${round}-${i}`), context);
      return statusCode === 200 ? 'ok' : body;
    });
}

function encryptEvent(partition: string): APIGatewayProxyEventV2 {
  return {
    version: '2.0',
    routeKey: 'POST /v1/partitions/{partition}/{operation}',
    rawPath: `/v1/partitions/${partition}/encrypt`,
    pathParameters: { partition, operation: 'encrypt' },
    headers: { 'content-type': 'application/json' },
    requestContext: {
      requestId: 'r',
      apiId: 'a',
      stage: '$default',
      domainName: 'api.example.com',
      http: { method: 'POST' },
    },
    body: '{"plaintext":"aGVsbG8="}',
    isBase64Encoded: false,
  } as unknown as APIGatewayProxyEventV2;
}

async function queue(): Promise<Serve> {
  const handler = queueDoor({ ...(await buildQueue()), keyfold: patientKeyfold() });
  return async ({ round, requests }) => {
    const Records = Array.from({ length: requests }, (_, i) => ({
      messageId: String(i),
      receiptHandle: String(i),
      body: JSON.stringify({ partition: `${process.pid}-${round}-${i}`, document: { a: 1 }, fields: ['$.a'] }),
      attributes: { ApproximateReceiveCount: '1', SenderId: 'someone' },
      messageAttributes: {},
      eventSource: 'aws:sqs',
      eventSourceARN: queueArn,
    }));
    const { batchItemFailures } = await handler({ Records } as unknown as SQSEvent, context);
    const failed = new Set(batchItemFailures.map(({ itemIdentifier }) => itemIdentifier));
    return Records.map(({ messageId }) => (failed.has(messageId) ? 'retried' : 'ok'));
  };
}

function client(options: KeyfoldClientOptions): Serve {
  const tenant = new KeyfoldClient({ ...options, retry: PATIENT }).partition('p');
  return ({ requests }) => each(requests, () => tenant.decrypt('kf1.x').then(() => 'ok', String));
}

/**
 * Unwraps a key with VaultKms, which logs in with an AppRole if the parent supplies one. Vault is healthy here, so a
 * request also counts as failed if VaultKms reports a failed attempt. While the parent resets new connections, failed
 * attempts are expected and do not count.
 */
function vault(): Serve {
  const { VAULT_ROLE = '', WRAPPED = 'vault:v1:AAAA', VAULT_TRANSIT_KEY: transitKey = 'keyfold' } = process.env;
  const isBlameAFailure = process.env['RESETS_NEW_CONNECTIONS'] !== 'true';
  const faults: string[] = [];
  const kms = new VaultKms({
    addresses: [endpoint],
    transitKey,
    auth: VAULT_ROLE === '' ? { method: 'token', token: 'fixed' } : { method: 'approle', ...JSON.parse(VAULT_ROLE) },
    requestTimeoutMs: INVOCATION_MS,
    events: { attempted: ({ fault }) => void (fault && isBlameAFailure && faults.push(fault.message)) },
  });
  const deadline = { atMs: Number.MAX_SAFE_INTEGER, signal: new AbortController().signal };
  const unwrap = async (): Promise<string> => {
    const unwrapped = await kms.unwrap(Buffer.from(WRAPPED), deadline);
    return 'key' in unwrapped ? (faults.shift() ?? 'ok') : unwrapped.unreadable;
  };
  return ({ requests }) => each(requests, () => unwrap().catch(String));
}

/**
 * Wraps a key with AwsKms, which keeps no connection between calls. KMS is healthy here, so a request also counts as
 * failed if AwsKms reports a failed attempt or a region that is not `ok` afterwards.
 */
function awsKms(): Serve {
  const faults: string[] = [];
  const kms = new AwsKms({
    keys: { 'eu-west-1': 'arn:aws:kms:eu-west-1:111122223333:alias/keyfold' },
    preferredRegion: 'eu-west-1',
    endpoint,
    credentials: async () => LOCAL_CREDENTIALS,
    events: { attempted: ({ fault }) => void (fault && faults.push(fault.message)) },
  });
  const deadline = { atMs: Number.MAX_SAFE_INTEGER, signal: new AbortController().signal };
  const wrap = async (): Promise<string> => {
    await kms.wrap(new Uint8Array(32), deadline);
    return faults.shift() ?? kms.regionStates()[0]?.state ?? 'no region';
  };
  return ({ requests }) => each(requests, () => wrap().catch(String));
}

function each(requests: number, work: (i: number) => Promise<string>): Promise<Outcomes> {
  return Promise.all(Array.from({ length: requests }, (_, i) => work(i)));
}

const ROLES: Readonly<Record<Role, () => Serve | Promise<Serve>>> = {
  api,
  queue,
  direct: () => client({ lambda: new LambdaTransport({ functions: 'keyfold' }) }),
  'direct with a client of the caller’s': () =>
    client({
      lambda: new LambdaTransport({ functions: 'keyfold', client: new LambdaClient({ endpoint, maxAttempts: 1 }) }),
    }),
  Vault: vault,
  KMS: awsKms,
  HTTP: () => client({ http: { endpoint, region: 'us-west-2', credentials: LOCAL_CREDENTIALS } }),
};

const serve = await ROLES[role as Role]();
// Node would write the cache at the exit, but the parent kills this process.
flushCompileCache();
process.on('message', (round: Round) => void serve(round).then((outcomes) => process.send?.(outcomes)));
process.on('disconnect', () => process.exit());
process.send?.('loaded');
