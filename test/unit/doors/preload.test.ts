/** Tests, on emulators, functions that load the System Key before their first request. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { functionEnvironment } from '../../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { LocalFunction } from '../../../local/local-function.ts';
import { DynamoDbProxy } from '../../support/dynamodb-proxy.ts';
import { request } from '../../support/http-door.ts';
import { WEST } from '../../support/wire-fixture.ts';

const TIMEOUT_MS = 15_000;
const SEAL = request('encrypt', { plaintext: 'aGVsbG8=' });

let dynamoDb: LocalDynamoDb;
let proxy: DynamoDbProxy;
let kms: KmsEmulator;
let settings: Record<string, string>;
let started: LocalFunction[] = [];

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
  proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
});
afterAll(async () => {
  await proxy.stop();
  await dynamoDb.close();
});

beforeEach(async ({ task }) => {
  kms = await startKmsEmulator();
  const { aliasArn } = await kms.ensureKey(WEST, 'alias/keyfold');
  settings = {
    ...functionEnvironment({ kms: kms.endpoint, dynamoDb: proxy.endpoint, keys: { [WEST]: aliasArn } }),
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    POWERTOOLS_METRICS_DISABLED: 'true',
    KEYFOLD_SERVICE: `preload-${task.id}`.replaceAll('_', '-'),
    KEYFOLD_PRODUCT: 'shop',
    KEYFOLD_PRELOAD_SYSTEM_KEY: 'true',
  };
  expect(await statusOf(cold())).toBe(200);
  kms.resetCalls();
  proxy.calls = [];
});
afterEach(async () => {
  await Promise.all(started.map((one) => one.recycle()));
  started = [];
  await kms.close();
});

function cold(): LocalFunction {
  const one = new LocalFunction(new URL('../../../handlers/api.ts', import.meta.url).href, settings);
  started.push(one);
  return one;
}

async function statusOf(process: LocalFunction): Promise<number> {
  return ((await process.invoke(SEAL, TIMEOUT_MS)) as { statusCode: number }).statusCode;
}

it('after a preload, the first request in a process reads only an Intermediate Key', async () => {
  expect(await statusOf(cold())).toBe(200);
  expect(proxy.calls).toEqual(['Query SK', 'Query IK']);
  expect(kms.calls().map(({ action }) => action)).toEqual(['Decrypt']);
});

it('a process starts while KMS is down, and serves requests after KMS recovers', async () => {
  kms.setFault(WEST, { kind: 'down' });
  const process = cold();
  expect(await statusOf(process)).toBe(503);
  kms.clearFaults();
  expect(await statusOf(process)).toBe(200);
});
