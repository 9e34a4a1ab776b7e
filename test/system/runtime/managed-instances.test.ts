/**
 * Tests bundles on Lambda Managed Instances, where each of several worker threads serves 64 invocations at the same
 * time.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, beforeEach, afterEach, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { ensureKeys, functionEnvironment } from '../../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { bundleHandler } from '../../../scripts/handler-bundle.ts';
import { request } from '../../support/http-door.ts';
import { EAST, WEST } from '../../support/wire-fixture.ts';
import type { Holding } from './instance-worker.ts';
import { ManagedInstance, type Answer } from './managed-instance.ts';

const CONCURRENCY = 64;
const PARTITIONS = 16;
const EVERY_OPERATION = 'encrypt,decrypt,rewrap,encrypt-batch,decrypt-batch,encrypt-fields,decrypt-fields';
/**
 * How much memory, in bytes, each invocation may still use after a garbage collection. Even the smallest object of an
 * invocation is larger than this limit, so the limit detects each leak.
 */
const MAX_GROWTH_BYTES = 400;

let folder: string;
let dynamoDb: LocalDynamoDb;
let kms: KmsEmulator;
let settings: Record<string, string>;
let instances: { api: ManagedInstance[]; direct: ManagedInstance[] };
let requests = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-instances-'));
  await Promise.all(['api', 'invoke'].map((name) => bundleHandler(name, join(folder, name))));
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
}, 60_000);
afterAll(async () => {
  await dynamoDb.close();
  await rm(folder, { recursive: true });
});
beforeEach(async () => {
  kms = await startKmsEmulator();
  const keys = await ensureKeys(kms, [WEST, EAST]);
  settings = {
    ...functionEnvironment({ kms: kms.endpoint, dynamoDb: dynamoDb.endpoint, keys }),
    KEYFOLD_SERVICE: `instances${(requests += 1)}`,
    KEYFOLD_PRODUCT: 'shop',
    KEYFOLD_OPERATIONS: EVERY_OPERATION,
  };
  instances = { api: [start('api'), start('api')], direct: [start('invoke'), start('invoke')] };
});
afterEach(async () => {
  await Promise.all([...instances.api, ...instances.direct].map((one) => one.end()));
  await kms.close();
});

function start(name: 'api' | 'invoke'): ManagedInstance {
  return new ManagedInstance(pathToFileURL(join(folder, name, 'index.mjs')).href, settings);
}

/** An invocation that a caller made. */
interface AuditSubject {
  readonly requestId: string;
  readonly partition: string;
  readonly operation: string;
  readonly result: string;
}

/** Calls one function, and records each invocation. */
type Caller = (operation: string, partition: string, body: object) => Promise<Record<string, unknown>>;

/** Calls a function over HTTP. Problem documents contain API Gateway's ID of the request. */
function httpCaller(one: ManagedInstance, asked: AuditSubject[]): Caller {
  return async (operation, partition, body) => {
    const requestId = `http-${(requests += 1)}`;
    const event = request(operation, body, partition);
    const given = { ...event, requestContext: { ...event.requestContext, requestId: `gateway-${requestId}` } };
    const { statusCode, body: text } = resultOf(await one.invoke(given, requestId)) as {
      statusCode: number;
      body: string;
    };
    const answer = JSON.parse(text) as Record<string, unknown>;
    expect(answer).toMatchObject(statusCode === 200 ? {} : { requestId: `gateway-${requestId}` });
    asked.push({ requestId, partition, operation, result: statusCode === 200 ? 'ok' : String(answer['code']) });
    return answer;
  };
}

function directCaller(one: ManagedInstance, asked: AuditSubject[]): Caller {
  return async (operation, partition, body) => {
    const requestId = `direct-${(requests += 1)}`;
    const answer = await one.invoke({ operation, partition, ...body }, requestId);
    const result = 'errorType' in answer ? answer.errorType : 'ok';
    asked.push({ requestId, partition, operation, result });
    return 'errorType' in answer ? { code: result } : (answer.result as Record<string, unknown>);
  };
}

function resultOf(answer: Answer): unknown {
  if ('result' in answer) return answer.result;
  throw new Error(answer.errorType);
}

/**
 * Runs each operation with a unique payload, and checks the responses. Another partition must not be able to decrypt
 * the payload.
 */
async function goThrough(ask: Caller, turn: number): Promise<void> {
  const partition = `tenant-${turn % PARTITIONS}`;
  const plaintext = Buffer.from(`${partition}'s own, ${turn}`).toString('base64');
  const sealed = await ask('encrypt', partition, { plaintext });
  expect(sealed).toMatchObject({ record: {} });
  const { record } = sealed;
  expect(await ask('decrypt', partition, { record })).toEqual({ plaintext });
  expect(await ask('decrypt', `tenant-${(turn + 1) % PARTITIONS}`, { record })).toMatchObject({
    code: 'RecordUnreadable',
  });
  const { results } = await ask('encrypt-batch', partition, { items: [{ plaintext }, { plaintext }] });
  expect(await ask('decrypt-batch', partition, { items: results })).toEqual({
    results: [{ plaintext }, { plaintext }],
  });
  const { document } = await ask('encrypt-fields', partition, {
    document: { turn, plaintext },
    fields: ['$.plaintext'],
  });
  expect(await ask('decrypt-fields', partition, { document, all: true })).toEqual({ document: { turn, plaintext } });
}

/** Runs many callers at the same time on every worker. */
async function load(asked: AuditSubject[]): Promise<void> {
  const callers = [
    ...instances.api.map((one) => httpCaller(one, asked)),
    ...instances.direct.map((one) => directCaller(one, asked)),
  ];
  await Promise.all(callers.flatMap((ask) => Array.from({ length: CONCURRENCY }, (_, turn) => goThrough(ask, turn))));
}

it('on a managed instance, each worker calls KMS once, and each invocation gets its own response and log lines', async () => {
  const asked: AuditSubject[] = [];
  // Create the System Key first, so that the workers only unwrap it.
  await httpCaller(instances.api[0] as ManagedInstance, [])('encrypt', 'tenant-0', { plaintext: '' });
  const seeded = instances.api[0] as ManagedInstance;
  instances.api[0] = start('api');
  await seeded.end();
  kms.resetCalls();

  await load(asked);
  expect(kms.calls().map(({ region, action, outcome }) => [region, action, outcome])).toEqual(
    Array.from({ length: 4 }, () => [WEST, 'Decrypt', 'ok']),
  );

  const ended = [...instances.api, ...instances.direct];
  const lines = (await Promise.all(ended.map((one) => one.end()))).flat();
  instances = { api: [], direct: [] };
  const audited = lines.filter(({ message }) => message === 'audit');
  expect(
    audited
      .map(({ requestId, partition, operation, result }) => [requestId, partition, operation, result].join(' '))
      .toSorted(),
  ).toEqual(
    asked
      .map(({ requestId, partition, operation, result }) => [requestId, partition, operation, result].join(' '))
      .toSorted(),
  );
  // Each failed invocation, and no other, has a log line about its failure. The lines that Powertools writes also
  // contain the invocation's ID.
  const refused = lines
    .filter(({ message }) => message === 'request failed')
    .map((line) => String(line['function_request_id']));
  expect(refused.toSorted()).toEqual(
    asked
      .filter(({ result }) => result !== 'ok')
      .map(({ requestId }) => requestId)
      .toSorted(),
  );
});

/** The resources that each worker holds. */
function measureAll(): Promise<Holding[]> {
  return Promise.all([...instances.api, ...instances.direct].map((one) => one.measure()));
}

it(
  'thousands of invocations on a managed instance leak no memory, and leave nothing behind that keeps the process alive',
  { timeout: 60_000 },
  async () => {
    const asked: AuditSubject[] = [];
    // Repeat the load until V8 has compiled most of the code.
    for (let i = 0; i < 3; i += 1) await load(asked);
    const before = await measureAll();
    const done = asked.length;
    for (let i = 0; i < 4; i += 1) await load(asked);
    const after = await measureAll();
    const perWorker = (asked.length - done) / after.length;
    expect(perWorker).toBeGreaterThan(1500);
    after.forEach(({ heapBytes, resources }, i) => {
      expect((heapBytes - (before[i]?.heapBytes ?? 0)) / perWorker).toBeLessThan(MAX_GROWTH_BYTES);
      expect(resources).toEqual(before[i]?.resources);
    });
  },
);
