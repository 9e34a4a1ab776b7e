/** The calls that the real functions make, on emulators, held against what their roles allow: none is missing, none is for nothing. */
import { CreateAliasCommand, CreateKeyCommand, KMSClient, UpdateAliasCommand } from '@aws-sdk/client-kms';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../local/dynamodb.ts';
import { functionEnvironment } from '../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../local/kms-emulator/kms-emulator.ts';
import { LocalFunction } from '../../local/local-function.ts';
import { DynamoDbProxy } from '../support/dynamodb-proxy.ts';
import { request } from '../support/http-door.ts';
import { allowedOn, EAST, isAllowed, KEYS, REST, USERS, WEST } from './account.ts';

const TIMEOUT_MS = 15_000;

let dynamoDb: LocalDynamoDb;
let proxy: DynamoDbProxy;
let kms: KmsEmulator;
let services = 0;
let settings: Record<string, string>;
let started: LocalFunction[] = [];
/** The functions' calls of KMS from before an administrator made his own. */
let before: string[] = [];

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
  proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
});
afterAll(async () => {
  await proxy.stop();
  await dynamoDb.close();
});
beforeEach(async () => {
  kms = await startKmsEmulator();
  const keys = await Promise.all(
    [WEST, EAST].map(async (region) => [region, (await kms.ensureKey(region, 'alias/keyfold')).aliasArn] as const),
  );
  settings = {
    ...functionEnvironment({ kms: kms.endpoint, dynamoDb: proxy.endpoint, keys: Object.fromEntries(keys) }),
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    POWERTOOLS_METRICS_DISABLED: 'true',
    KEYFOLD_SERVICE: `calls${(services += 1)}`,
    KEYFOLD_PRODUCT: 'shop',
    // Two processes that make a key within a day make the same one.
    KEYFOLD_CREATE_DATE_PRECISION_MS: '86400000',
    // A loaded machine is not to be taken for an outage.
    KEYFOLD_KMS_REQUEST_TIMEOUT_MS: '15000',
    KEYFOLD_DYNAMODB_REQUEST_TIMEOUT_MS: '15000',
  };
  record();
});
afterEach(async () => {
  proxy.befall = () => undefined;
  await Promise.all(started.map((one) => one.recycle()));
  started = [];
  await kms.close();
});

/** A cold process of a handler, limited to some operations as the function is. */
function start(handler: 'api' | 'invoke' | 'maintenance', operations?: string): LocalFunction {
  const environment = { ...settings, ...(operations !== undefined && { KEYFOLD_OPERATIONS: operations }) };
  const one = new LocalFunction(new URL(`../../handlers/${handler}.ts`, import.meta.url).href, environment);
  started.push(one);
  return one;
}

function maintain(): Promise<unknown> {
  return start('maintenance').invoke({}, TIMEOUT_MS);
}

async function ask(process: LocalFunction, operation: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = (await process.invoke(request(operation, body), TIMEOUT_MS)) as { statusCode: number; body: string };
  expect({ operation, status: answer.statusCode }).toEqual({ operation, status: 200 });
  return JSON.parse(answer.body) as Record<string, unknown>;
}

/** Direct invocation, as `seal` and `open` are asked. A failure is thrown, but for an item's. */
async function invoke(process: LocalFunction, operation: string, body: object): Promise<Record<string, unknown>> {
  const answer = await process.invoke({ operation, partition: 'tenant-1', ...body }, TIMEOUT_MS);
  expect(JSON.stringify(answer)).not.toContain('"error"');
  return answer as Record<string, unknown>;
}

/** Forgets the calls of what only prepares. */
function record(): void {
  kms.resetCalls();
  proxy.calls = [];
  before = [];
}

function kmsCalls(): string[] {
  return [...before, ...kms.calls().map(({ region, action }) => `${region} kms:${action}`)];
}

/** The calls since {@link record}, as IAM calls them, each once; those of KMS with their region. */
function recorded(): { kms: { region: string; action: string }[]; dynamoDb: string[] } {
  const ofKms = [...new Set(kmsCalls())].toSorted().map((call) => {
    const [region = '', action = ''] = call.split(' ');
    return { region, action };
  });
  const ofDynamoDb = proxy.calls.map((call) => {
    const [action = ''] = call.split(' ');
    return `dynamodb:${action === 'Query' ? action : `${action}Item`}`;
  });
  return { kms: ofKms, dynamoDb: [...new Set(ofDynamoDb)].toSorted() };
}

/** What was called, and what of that a role would have refused. */
async function calledAs(name: keyof typeof USERS): Promise<{ called: string[]; refused: string[] }> {
  const { kms: ofKms, dynamoDb: ofDynamoDb } = recorded();
  const keys = new Map([
    [WEST, KEYS['the key']],
    [EAST, KEYS["the other region's key"]],
  ]);
  const refused: string[] = [];
  for (const { region, action } of ofKms) {
    const key = keys.get(region);
    if (key === undefined || !(await isAllowed(USERS[name], action, key))) refused.push(`${action} in ${region}`);
  }
  const called = new Set([...ofKms.map(({ action }) => action), ...ofDynamoDb]);
  return { called: [...called].toSorted(), refused };
}

/** All that a role allows: each is to be called, and nothing else. */
async function exactly(name: keyof typeof USERS): Promise<{ called: string[]; refused: string[] }> {
  const allowed = await Promise.all([KEYS['the key'], REST['the table']].map((one) => allowedOn(USERS[name], one)));
  return { called: allowed.flat().toSorted(), refused: [] };
}

const PLAINTEXT = { plaintext: 'aGVsbG8=' };

describe('the role allows exactly the calls that are made', () => {
  it('by seal: new keys and those of others, encryption and rewrapping, with a region down', async () => {
    const operations = 'encrypt,encrypt-batch,encrypt-fields,rewrap,rewrap-batch';
    const { record: old } = await invoke(start('invoke', operations), 'encrypt', PLAINTEXT);
    const cold = start('invoke', operations);
    await invoke(cold, 'encrypt', PLAINTEXT);
    await invoke(cold, 'rewrap', { record: old });
    await invoke(cold, 'encrypt-fields', { document: { card: 1 }, fields: ['$.card'] });
    kms.setFault(WEST, { kind: 'down' });
    await invoke(start('invoke', operations), 'rewrap-batch', { items: [{ record: old }] });
    expect(await calledAs('seal')).toEqual(await exactly('seal'));
  });

  it('by open: records of others alone, with each region down in turn', async () => {
    const seal = start('invoke', 'encrypt,encrypt-fields');
    const { record: one } = await invoke(seal, 'encrypt', PLAINTEXT);
    const { document } = await invoke(seal, 'encrypt-fields', { document: { card: 1 }, fields: ['$.card'] });
    record();
    for (const region of [WEST, EAST]) {
      kms.setFault(region, { kind: 'down' });
      const open = start('invoke', 'decrypt,decrypt-batch,decrypt-fields');
      expect(await invoke(open, 'decrypt', { record: one })).toEqual(PLAINTEXT);
      await invoke(open, 'decrypt-batch', { items: [{ record: one }] });
      await invoke(open, 'decrypt-fields', { document, fields: ['$.card'] });
      kms.clearFaults();
    }
    expect(recorded().kms).toEqual([
      { region: EAST, action: 'kms:Decrypt' },
      { region: WEST, action: 'kms:Decrypt' },
    ]);
    expect(await calledAs('open')).toEqual(await exactly('open'));
  });

  it('by the API: everything', async () => {
    const api = start('api');
    const { record: one } = await ask(api, 'encrypt', PLAINTEXT);
    const cold = start('api');
    await ask(cold, 'decrypt', { record: one });
    await ask(cold, 'rewrap', { record: one });
    expect(await calledAs('api')).toEqual(await exactly('api'));
  });

  it('by the API that loses the race for a key', async () => {
    let raced = false;
    proxy.befall = (call) => {
      if (call !== 'Put SK' || raced) return undefined;
      raced = true;
      return { kind: 'overtaken', by: () => ask(start('api'), 'encrypt', PLAINTEXT) };
    };
    await ask(start('api'), 'encrypt', PLAINTEXT);
    expect(raced).toBe(true);
    expect(await calledAs('api')).toEqual(await exactly('api'));
  });

  it('by the maintenance: the first key, wraps renewed after an alias was moved, and another maintenance that was quicker', async () => {
    await maintain();
    await moveAlias(WEST);
    let raced = false;
    proxy.befall = (call) => {
      if (call !== 'Update SK' || raced) return undefined;
      raced = true;
      return { kind: 'overtaken', by: maintain };
    };
    expect(await maintain()).toMatchObject({ systemKeys: [{ regions: [{ opens: true }, { opens: true }] }] });
    expect(raced).toBe(true);
    expect(await calledAs('maintenance')).toEqual(await exactly('maintenance'));
  });

  it('by the queue, of KMS and DynamoDB: it has the operations of the API', async () => {
    for (const target of [KEYS['the key'], KEYS['a retired key'], REST['the table']]) {
      expect(await allowedOn(USERS.queue, target)).toEqual(await allowedOn(USERS.api, target));
    }
  });
});

/** Puts a new key behind the alias, as an administrator does; the old one is retired first. */
async function moveAlias(region: string): Promise<void> {
  before = kmsCalls();
  const client = new KMSClient({ region, endpoint: kms.endpoint });
  const old = await kms.ensureKey(region, 'alias/keyfold');
  await client.send(new CreateAliasCommand({ AliasName: 'alias/keyfold-retired-1', TargetKeyId: old.keyArn }));
  const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
  await client.send(new UpdateAliasCommand({ AliasName: 'alias/keyfold', TargetKeyId: KeyMetadata?.KeyId }));
  client.destroy();
  kms.resetCalls();
}
