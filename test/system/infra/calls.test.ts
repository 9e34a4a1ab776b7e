/**
 * Runs the real functions on emulators, and compares their calls with their roles. A role must allow every call of its
 * function, and no other call.
 */
import { CreateAliasCommand, CreateKeyCommand, KMSClient, UpdateAliasCommand } from '@aws-sdk/client-kms';
import { ReceiveMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { startEventSource } from '../../../local/event-source.ts';
import { ensureKeys, functionEnvironment } from '../../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { LocalFunction } from '../../../local/local-function.ts';
import { startSqsEmulator, type SqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import { DynamoDbProxy } from '../../support/dynamodb-proxy.ts';
import { request } from '../../support/http-door.ts';
import { allowedOn, EAST, isAllowed, KEYS, REST, tableAt, USERS, WEST } from '../../integration/infra/account.ts';

const TIMEOUT_MS = 15_000;

let dynamoDb: LocalDynamoDb;
let proxy: DynamoDbProxy;
let kms: KmsEmulator;
let sqs: SqsEmulator;
let services = 0;
let settings: Record<string, string>;
let started: LocalFunction[] = [];
/** The function's KMS calls before the last {@link moveAlias}. The calls of {@link moveAlias} itself do not count. */
let before: string[] = [];
/** The SQS calls by queue, with the names of their IAM actions. */
let sqsCalls: string[] = [];

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
  // IAM authorizes a batch call by the action for single messages, such as sqs:SendMessage.
  sqs = await startSqsEmulator({
    onCall: (action, queue) => {
      sqsCalls.push(`${queue} sqs:${action.replace(/Batch$/, '')}`);
    },
  });
  const keys = await ensureKeys(kms, [WEST, EAST]);
  settings = {
    ...functionEnvironment({ kms: kms.endpoint, dynamoDb: proxy.endpoint, keys }),
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    POWERTOOLS_METRICS_DISABLED: 'true',
    KEYFOLD_SERVICE: `calls${(services += 1)}`,
    KEYFOLD_PRODUCT: 'shop',
    // By default, deploy.yml sets this suffix. Every second test uses it.
    ...(services % 2 === 0 && { KEYFOLD_REGION_SUFFIX: WEST }),
  };
  record();
});
afterEach(async () => {
  proxy.faultOf = () => undefined;
  await Promise.all(started.map((one) => one.recycle()));
  started = [];
  await kms.close();
  await sqs.close();
});

/** A cold process that runs a handler with the function's operations. */
function start(handler: 'api' | 'invoke' | 'maintenance' | 'queue', operations?: string): LocalFunction {
  const environment = { ...settings, ...(operations !== undefined && { KEYFOLD_OPERATIONS: operations }) };
  const one = new LocalFunction(new URL(`../../../handlers/${handler}.ts`, import.meta.url).href, environment);
  started.push(one);
  return one;
}

function maintain(): Promise<unknown> {
  return start('maintenance').invoke({}, TIMEOUT_MS);
}

async function send(process: LocalFunction, operation: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = (await process.invoke(request(operation, body), TIMEOUT_MS)) as { statusCode: number; body: string };
  expect({ operation, status: answer.statusCode }).toEqual({ operation, status: 200 });
  return JSON.parse(answer.body) as Record<string, unknown>;
}

/**
 * Invokes the functions `seal` and `open` directly. They throw their errors, except for errors of batch items, which
 * the response contains.
 */
async function invoke(process: LocalFunction, operation: string, body: object): Promise<Record<string, unknown>> {
  const answer = await process.invoke({ operation, partition: 'tenant-1', ...body }, TIMEOUT_MS);
  expect(JSON.stringify(answer)).not.toContain('"error"');
  return answer as Record<string, unknown>;
}

/** Forgets the calls made so far, which only prepared the test. */
function record(): void {
  kms.resetCalls();
  proxy.calls = [];
  proxy.ids = [];
  before = [];
  sqsCalls = [];
}

function kmsCalls(): string[] {
  return [...before, ...kms.calls().map(({ region, action }) => `${region} kms:${action}`)];
}

/** The distinct calls since {@link record}, as IAM actions. KMS actions have a region. */
function recorded(): { kms: { region: string; action: string }[]; dynamoDb: string[] } {
  const ofKms = [...new Set(kmsCalls())].toSorted().map((call) => {
    const [region = '', action = ''] = call.split(' ');
    return { region, action };
  });
  return { kms: ofKms, dynamoDb: [...new Set(proxy.calls.map(iamActionOf))].toSorted() };
}

/** The IAM action of a call such as `Put SK`. */
function iamActionOf(call: string): string {
  const [action = ''] = call.split(' ');
  return `dynamodb:${action === 'Query' ? action : `${action}Item`}`;
}

/** The recorded calls, and which of them the policies of a role would deny. */
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
  const rows = new Set(proxy.calls.map((call, i) => `${iamActionOf(call)} ${proxy.ids[i]}`));
  for (const row of rows) {
    const [action = '', id = ''] = row.split(' ');
    // The roles allow only the keys of the service `orders`, so replace the service of this test in the ID.
    const target = tableAt(WEST, id.replace(settings['KEYFOLD_SERVICE'] as string, 'orders'));
    if (!(await isAllowed(USERS[name], action, target))) refused.push(row);
  }
  const called = new Set([...ofKms.map(({ action }) => action), ...ofDynamoDb, ...sqsCalls]);
  return { called: [...called].toSorted(), refused };
}

/** All actions that a role allows. The function must call each of them. */
async function exactly(name: keyof typeof USERS): Promise<{ called: string[]; refused: string[] }> {
  const allowed = await Promise.all([KEYS['the key'], REST['the table']].map((one) => allowedOn(USERS[name], one)));
  const ofQueues = await Promise.all(
    Object.entries(QUEUES).map(async ([queue, target]) =>
      (await allowedOn(USERS[name], target)).map((action) => `${queue} ${action}`),
    ),
  );
  return { called: [...allowed, ...ofQueues].flat().toSorted(), refused: [] };
}

const QUEUES = {
  input: REST['the input queue'],
  output: REST['the output queue'],
  'dead-letters': REST['the dead-letter queue'],
};

const PLAINTEXT = { plaintext: 'aGVsbG8=' };

/**
 * The option for tests in which another process overtakes a request. A busy machine may delay the request for so long
 * that the process assumes a freeze and sends it again. Nothing overtakes the second request, so the test fails, and
 * Vitest runs it again.
 */
const RACE = { retry: 3 };

describe("the functions' roles", { timeout: 60_000 }, () => {
  it('allow exactly the calls of the seal function, which creates keys, encrypts and rewraps', async () => {
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

  it('allow exactly the calls of the open function, even when the function preloads a System Key, or when a region is down', async () => {
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
    settings['KEYFOLD_PRELOAD_SYSTEM_KEY'] = 'true';
    await invoke(start('invoke', 'decrypt'), 'decrypt', { record: one });
    expect(recorded().kms).toEqual([
      { region: EAST, action: 'kms:Decrypt' },
      { region: WEST, action: 'kms:Decrypt' },
    ]);
    expect(await calledAs('open')).toEqual(await exactly('open'));
  });

  it("allow every call of the open function for another region's record, even if the key of the record is absent", async () => {
    settings['KEYFOLD_REGION_SUFFIX'] = WEST;
    const sealed = await invoke(start('invoke', 'encrypt'), 'encrypt', PLAINTEXT);
    const { Key } = sealed['record'] as { Key: { ParentKeyMeta: { KeyId: string; Created: number } } };
    Key.ParentKeyMeta.KeyId = Key.ParentKeyMeta.KeyId.replace(WEST, 'eu-north-1');
    // Make the absent key an hour old. If the key were only a few minutes old, the function would report that the key's
    // row may not have been replicated yet.
    Key.ParentKeyMeta.Created -= 3600;
    record();
    const open = start('invoke', 'decrypt');
    await expect(open.invoke({ operation: 'decrypt', partition: 'tenant-1', ...sealed }, TIMEOUT_MS)).rejects.toThrow(
      'RecordUnreadable',
    );
    // The second read looks for the tombstone of an erased partition.
    const named: unknown = expect.stringMatching(/^_IK_tenant-1_calls\d+_shop_eu-north-1$/);
    expect(proxy.ids).toEqual([named, named]);
    expect(await calledAs('open')).toMatchObject({ refused: [] });
  });

  it('allow exactly the calls of the api function, which encrypts, decrypts and rewraps', async () => {
    const api = start('api');
    const { record: one } = await send(api, 'encrypt', PLAINTEXT);
    const cold = start('api');
    await send(cold, 'decrypt', { record: one });
    await send(cold, 'rewrap', { record: one });
    expect(await calledAs('api')).toEqual(await exactly('api'));
  });

  it('allow exactly the calls of the api function when it loses the race to create a key', RACE, async () => {
    let raced = false;
    proxy.faultOf = (call) => {
      if (call !== 'Put SK' || raced) return undefined;
      raced = true;
      return { kind: 'overtaken', by: () => send(start('api'), 'encrypt', PLAINTEXT) };
    };
    await send(start('api'), 'encrypt', PLAINTEXT);
    expect(raced).toBe(true);
    expect(await calledAs('api')).toEqual(await exactly('api'));
  });

  it('allow exactly the calls of maintenance, even when it loses a race to another run', RACE, async () => {
    await maintain();
    await moveAlias(WEST);
    let raced = false;
    proxy.faultOf = (call) => {
      if (call !== 'Update SK' || raced) return undefined;
      raced = true;
      return { kind: 'overtaken', by: maintain };
    };
    expect(await maintain()).toMatchObject({ systemKeys: [{ regions: [{ opens: true }, { opens: true }] }] });
    expect(raced).toBe(true);
    expect(await calledAs('maintenance')).toEqual(await exactly('maintenance'));
  });

  it('allow exactly the calls of the queue function and of its poller', async () => {
    const queues = openQueues();
    expect(await queues.take('encrypt', PLAINTEXT)).toBe(0);
    const { record: one } = await queues.result();
    expect(await queues.take('decrypt', { record: one })).toBe(0);
    expect(await queues.take('rewrap', { record: one })).toBe(0);
    expect(await queues.take('decrypt', { record: 'none' })).toBe(0);
    for (const region of [WEST, EAST]) kms.setFault(region, { kind: 'error', name: 'DisabledException' });
    expect(await queues.take('decrypt', { record: one })).toBe(1);
    queues.close();
    // Add a call that Lambda's poller makes, so that the role must allow it. The local poller does not make it.
    sqsCalls.push('input sqs:GetQueueAttributes');
    expect(await calledAs('queue')).toEqual(await exactly('queue'));
  });
});

/** Performs work whose SQS calls are not recorded. */
async function aside<T>(work: Promise<T>): Promise<T> {
  const recordedBefore = [...sqsCalls];
  const done = await work;
  sqsCalls = recordedBefore;
  return done;
}

/** Opens clients for the three queues. The calls of these clients are not recorded. */
function openQueues() {
  const input = sqs.ensureQueue('input');
  const { queueUrl: outputUrl } = sqs.ensureQueue('output');
  settings = {
    ...settings,
    AWS_ENDPOINT_URL_SQS: sqs.endpoint,
    KEYFOLD_OUTPUT_QUEUE_URL: outputUrl,
    KEYFOLD_DEAD_LETTER_QUEUE_URL: sqs.ensureQueue('dead-letters').queueUrl,
  };
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const client = new SQSClient({ region: WEST, endpoint: sqs.endpoint, credentials });
  return {
    /**
     * Handles a message in a cold process.
     * @returns the number of messages that return to the queue: 0 or 1
     */
    take: async (operation: string, body: object): Promise<number> => {
      const MessageBody = JSON.stringify({ partition: 'tenant-1', operation, ...body });
      await aside(client.send(new SendMessageCommand({ QueueUrl: input.queueUrl, MessageBody })));
      const process = start('queue', 'encrypt,decrypt,rewrap');
      const { promise: answered, resolve } = Promise.withResolvers<unknown>();
      const passOn = (event: SQSEvent): Promise<unknown> => {
        const answer = process.invoke(event, TIMEOUT_MS);
        resolve(answer);
        return answer;
      };
      const source = startEventSource({ endpoint: sqs.endpoint, ...input, invoke: passOn });
      try {
        return ((await answered) as SQSBatchResponse).batchItemFailures.length;
      } finally {
        await source.stop();
      }
    },
    result: async (): Promise<Record<string, unknown>> => {
      const { Messages } = await aside(client.send(new ReceiveMessageCommand({ QueueUrl: outputUrl })));
      return JSON.parse(Messages?.[0]?.Body ?? '') as Record<string, unknown>;
    },
    close: () => client.destroy(),
  };
}

/** Retires the old key and creates a new one behind the alias, as an administrator does. */
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
