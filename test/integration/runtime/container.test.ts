/** Tests what the container builds for each function from the environment. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { functionEnvironment } from '../../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import {
  buildApi,
  buildInvoke,
  buildMaintenance,
  buildQueue,
  buildReencrypt,
  operatorAdapters,
} from '../../../src/container.ts';
import { readConfig } from '../../../src/config/read-config.ts';
import type { ReencryptEvent } from '../../../src/config/reencrypt-event.ts';
import { SessionFactory } from '../../../src/index.ts';
import { DynamoDbErasureRegister } from '../../../src/metastore/dynamodb-erasure-register.ts';
import { SqsQueues } from '../../../src/sqs/sqs-queues.ts';
import type { MaintenanceTelemetry, Telemetry } from '../../../src/doors/telemetry.ts';
import { codeOf } from '../../support/fakes.ts';
import { captureOutput } from '../../support/http-door.ts';
import { startStub } from '../../support/stub-server.ts';
import { StubVault } from '../../support/stub-vault.ts';

const WEST = 'arn:aws:kms:us-west-2:111122223333:alias/keyfold';
const EAST = 'arn:aws:kms:us-east-1:111122223333:alias/keyfold';
/** An endpoint without a server. */
const NOWHERE = 'http://127.0.0.1:9';

function set(settings: Record<string, string>): void {
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value);
}

beforeEach(() => {
  set({
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    POWERTOOLS_METRICS_DISABLED: 'true',
    AWS_REGION: 'us-east-1',
    KEYFOLD_SERVICE: 'service',
    KEYFOLD_PRODUCT: 'product',
    KEYFOLD_AUTH: 'none',
    KEYFOLD_DYNAMODB_ENDPOINT: NOWHERE,
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

const withKms = (): void => set({ KEYFOLD_KMS_KEYS: JSON.stringify({ 'us-west-2': WEST, 'us-east-1': EAST }) });
const withStaticKey = (): void => set({ KEYFOLD_STATIC_MASTER_KEY_HEX: '00'.repeat(32) });

describe('a container with KMS and DynamoDB', () => {
  let dynamoDb: LocalDynamoDb;
  let kms: KmsEmulator;

  beforeAll(async () => {
    dynamoDb = await startDynamoDb('EncryptionKey', 0);
    kms = await startKmsEmulator();
  });
  afterAll(async () => {
    await kms.close();
    await dynamoDb.close();
  });
  beforeEach(async () => {
    const { aliasArn } = await kms.ensureKey('us-west-2', 'alias/keyfold');
    set(functionEnvironment({ kms: kms.endpoint, dynamoDb: dynamoDb.endpoint, keys: { 'us-west-2': aliasArn } }));
  });

  it("tells a function's telemetry about the events of keys, KMS and the table when the function encrypts", async () => {
    set({ KEYFOLD_DATA_ROW_KEY_MAX_MESSAGES: '2' });
    const { keyfold, telemetry, now } = await buildApi();
    const told = toldTo(telemetry);
    const { key } = await keyfold.session('p').encrypt(Buffer.from('x'));
    expect((await keyfold.session('p').encrypt(Buffer.from('y'))).key).toEqual(key);
    expect(key.parent.id).toBe('_IK_p_service_product');
    expect(key.parent.created % 60).toBe(0);
    expect(told()).toEqual(['attempted', 'cacheUsed', 'keyCreated', 'metastoreCalled']);
    expect(now).toBe(Date.now);
  });

  it("tells a re-encryption worker's telemetry about the events of keys, KMS and the table, even if settings require a context", async () => {
    const settings = { KEYFOLD_REQUIRE_CONTEXT: 'always', KEYFOLD_DATA_ROW_KEY_MAX_MESSAGES: '2' };
    set({ KEYFOLD_SERVICE: 'reencrypted', ...settings });
    const { keyfold, naming, telemetry, now } = await buildReencrypt();
    const told = toldTo(telemetry as Telemetry);
    const { key } = await keyfold.session('p').encrypt(Buffer.from('x'));
    expect((await keyfold.session('p').encrypt(Buffer.from('y'))).key).toEqual(key);
    expect(key.parent.id).toBe('_IK_p_reencrypted_product');
    expect(naming.systemKeyId).toBe('_SK_reencrypted_product');
    expect(told()).toEqual(['attempted', 'cacheUsed', 'keyCreated', 'metastoreCalled']);
    expect(now).toBe(Date.now);
  });

  it('makes a re-encryption worker refuse records whose key rows have no proof if the settings require proofs', async () => {
    set({ KEYFOLD_SERVICE: 'proven', KEYFOLD_KEY_ROW_PROOFS: 'require' });
    const record = await (await buildReencrypt()).keyfold.session('p').encrypt(Buffer.from('x'));
    const { id, created } = record.key.parent;
    const client = new DynamoDBClient({ endpoint: dynamoDb.endpoint });
    const Key = { Id: { S: id }, Created: { N: String(created) } };
    const change = { TableName: 'EncryptionKey', Key, UpdateExpression: 'REMOVE Proof' };
    await client.send(new UpdateItemCommand(change));
    client.destroy();
    const { keyfold } = await buildReencrypt();
    expect(await codeOf(keyfold.session('p').decrypt(record))).toBe('KeyRowUnreadable');
  });

  it('uses the crypto policy from the settings in the sessions that it opens for an operator', async () => {
    set({ KEYFOLD_DATA_ROW_KEY_MAX_MESSAGES: '2' });
    const session = (await operatorAdapters.openSessions(readConfig(process.env))).session('p');
    const [one, other] = [await session.encrypt(Buffer.from('x')), await session.encrypt(Buffer.from('y'))];
    expect(one.key).toEqual(other.key);
  });

  it('tells the telemetry of maintenance about the events of keys, KMS and the table', async () => {
    const minimum = Math.ceil(Date.now() / 60_000) * 60 + 120;
    set({ KEYFOLD_SERVICE: 'maintained', KEYFOLD_MIN_SEALING_CREATED: new Date(minimum * 1000).toISOString() });
    const { maintenance, telemetry } = await buildMaintenance();
    const told = toldTo(telemetry as MaintenanceTelemetry);
    const { created } = await maintenance.run({ deadlineAtMs: Date.now() + 10_000 });
    expect(created).toEqual({ id: '_SK_maintained_product', created: minimum });
    expect(told()).toEqual(['attempted', 'keyCreated', 'metastoreCalled']);
  });

  it('lets maintenance report which erasures of its service are due', async () => {
    set({ KEYFOLD_SERVICE: 'erased' });
    const due = { partition: 'p', erase: 'e', at: 60, due: 61 } as never;
    const names = { service: 'erased', product: 'product' };
    await new DynamoDbErasureRegister({ endpoint: dynamoDb.endpoint }, names).add(due);
    const { maintenance } = await buildMaintenance();
    expect((await maintenance.run({ deadlineAtMs: Date.now() + 10_000 })).erasuresDue).toEqual([due]);
  });
});

/** Records the events that a telemetry object receives. Returns a function that returns the events' names. */
function toldTo({ events }: Telemetry): () => string[] {
  const spies = Object.keys(events).map((name) => vi.spyOn(events, name as keyof typeof events));
  return () =>
    spies
      .filter((spy) => spy.mock.calls.length > 0)
      .map((spy) => spy.getMockName())
      .toSorted();
}

it('with Vault, maintenance creates the first System Key, and checks that each address can open it', async () => {
  const [vault, dynamoDb] = [await StubVault.start(), await startDynamoDb('EncryptionKey', 0)];
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-token-'));
  await writeFile(join(folder, 'token'), 'fixed');
  set({
    AWS_REGION: 'us-west-2',
    KEYFOLD_SERVICE: 'vaulted',
    KEYFOLD_PRODUCT: 'product',
    KEYFOLD_DYNAMODB_ENDPOINT: dynamoDb.endpoint,
    KEYFOLD_KMS: 'vault',
    KEYFOLD_VAULT_ADDRESSES: vault.url,
    KEYFOLD_VAULT_TRANSIT_KEY: 'keyfold',
    KEYFOLD_VAULT_AUTH: 'token',
    KEYFOLD_VAULT_SECRET_FILE: join(folder, 'token'),
  });
  const { maintenance, telemetry } = await buildMaintenance();
  const told = toldTo(telemetry as MaintenanceTelemetry);
  const limits = { deadlineAtMs: Date.now() + 10_000 };
  expect(await maintenance.run(limits)).toMatchObject({ created: { id: '_SK_vaulted_product' } });
  expect(told()).toEqual(['attempted', 'keyCreated', 'metastoreCalled']);
  const { systemKeys } = await maintenance.run(limits);
  expect(systemKeys).toMatchObject([{ regions: [{ region: new URL(vault.url).host, opens: true, renewed: false }] }]);
  const { health } = await buildApi();
  expect(health()).toMatchObject({ kms: [{ region: new URL(vault.url).host, state: 'unknown' }] });
  set({ KEYFOLD_VAULT_CA_FILE: join(folder, 'absent.pem') });
  await expect(buildApi()).rejects.toThrow('the file that KEYFOLD_VAULT_CA_FILE names cannot be read');
  await rm(folder, { recursive: true });
  await Promise.all([vault.stop(), dynamoDb.close()]);
});

describe('a function', () => {
  it('reports at its start that the health of the table and of each KMS region is unknown', async () => {
    withKms();
    const { health } = await buildApi();
    expect(health()).toEqual({
      kms: [
        { region: 'us-east-1', state: 'unknown' },
        { region: 'us-west-2', state: 'unknown' },
      ],
      metastore: { state: 'unknown' },
    });
  });

  it('starts even if it cannot load the System Key before the first request', async () => {
    withStaticKey();
    set({ KEYFOLD_PRELOAD_SYSTEM_KEY: 'true' });
    const { health, keyfold } = await buildApi();
    expect(health()).toMatchObject({ kms: [], metastore: { state: 'unavailable' } });
    expect(await codeOf(keyfold.session('p').encrypt(Buffer.from('x')))).toBe('MetastoreUnavailable');
  });

  it('waits at most five seconds for the System Key before the first request', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const preload = vi.spyOn(SessionFactory.prototype, 'preload').mockResolvedValue();
    withStaticKey();
    await buildApi();
    expect(preload).not.toHaveBeenCalled();
    set({ KEYFOLD_PRELOAD_SYSTEM_KEY: 'true' });
    await buildApi();
    expect(preload.mock.calls).toEqual([[{ deadlineAtMs: Date.now() + 5000 }]]);
  });

  it('accepts a static master key in Lambda only if a setting confirms that this key protects nothing', async () => {
    withStaticKey();
    set({ AWS_LAMBDA_FUNCTION_NAME: 'api', KEYFOLD_AUTH: 'iam' });
    await expect(buildApi()).rejects.toThrow('a static master key protects nothing in Lambda');
    set({ KEYFOLD_STATIC_KMS_OVERRIDE: 'anyone-who-reads-this-configuration-can-read-all-data' });
    expect(await buildApi()).toMatchObject({ auth: { kind: 'iam' } });
    expect(await operatorAdapters.openSessions(readConfig(process.env))).toBeInstanceOf(SessionFactory);
  });

  it('logs at its start why it could not load the System Key', async () => {
    withStaticKey();
    set({
      KEYFOLD_PRELOAD_SYSTEM_KEY: 'true',
      POWERTOOLS_LOG_LEVEL: 'WARN',
      POWERTOOLS_METRICS_DISABLED: 'false',
      POWERTOOLS_DEV: 'false',
    });
    const output = captureOutput();
    await buildApi();
    const lines = output.lines();
    expect(lines).toContainEqual(
      expect.objectContaining({ message: 'the System Key was not preloaded', code: 'MetastoreUnavailable' }),
    );
    expect(lines).toContainEqual(expect.objectContaining({ MetastoreFailures: expect.any(Number) as number }));
  });

  it('for direct invocation does not start without KEYFOLD_OPERATIONS', async () => {
    withStaticKey();
    await expect(buildInvoke()).rejects.toThrow('KEYFOLD_OPERATIONS');
    set({ KEYFOLD_OPERATIONS: 'encrypt' });
    expect((await buildInvoke()).config.serves.operations).toEqual(['encrypt']);
  });

  it('for a queue sends its results to the configured queues', async () => {
    withStaticKey();
    const outputUrl = 'https://sqs.us-east-1.amazonaws.com/111122223333/out';
    const deadLetterUrl = 'https://sqs.us-east-1.amazonaws.com/111122223333/dead';
    set({ KEYFOLD_OUTPUT_QUEUE_URL: outputUrl, KEYFOLD_DEAD_LETTER_QUEUE_URL: deadLetterUrl });
    const { queue, queues, config } = await buildQueue();
    expect(queue).toMatchObject({ outputUrl, deadLetterUrl });
    expect(queues).toBeInstanceOf(SqsQueues);
    expect(config.serves.operations).toEqual(['encrypt-fields']);
  });

  it('for a queue sends its results to the host of the queue URL if that host does not belong to AWS', async () => {
    const stub = await startStub({ status: 200, body: '{"Successful":[{"Id":"0"}]}' });
    withStaticKey();
    const outputUrl = `${stub.url}/111122223333/out`;
    set({ KEYFOLD_OUTPUT_QUEUE_URL: outputUrl, KEYFOLD_DEAD_LETTER_QUEUE_URL: `${stub.url}/111122223333/dead` });
    const { queues } = await buildQueue();
    const message = { body: 'x', attributes: {} };
    expect(await queues.send(outputUrl, [message], new AbortController().signal)).toEqual([undefined]);
    await stub.stop();
    expect(stub.requests.map(({ body }) => JSON.parse(body) as object)).toMatchObject([{ QueueUrl: outputUrl }]);
  });

  it('does not seal without a context if the settings require a context', async () => {
    withStaticKey();
    set({ KEYFOLD_REQUIRE_CONTEXT: 'always' });
    const { keyfold } = await buildApi();
    expect(await codeOf(keyfold.session('p').encrypt(Buffer.from('x')))).toBe('ContextRequired');
    const sessions = await operatorAdapters.openSessions(readConfig(process.env));
    expect(await codeOf(sessions.session('p').encrypt(Buffer.from('x')))).toBe('MetastoreUnavailable');
  });

  it('for a queue does not start without an output queue', async () => {
    withStaticKey();
    await expect(buildQueue()).rejects.toThrow('KEYFOLD_OUTPUT_QUEUE_URL');
  });

  it('for maintenance does not start with a static master key, because System Keys under that key have no wraps to renew', async () => {
    withStaticKey();
    await expect(buildMaintenance()).rejects.toThrow('a static master key has no wraps to maintain');
  });

  it('for maintenance ends at least the configured margin before its invocation times out', async () => {
    withKms();
    set({ KEYFOLD_DEADLINE_MARGIN_MS: '1234' });
    expect((await buildMaintenance()).deadlineMarginMs).toBe(1234);
  });
});

it('a re-encryption worker reads and quarantines the rows that its event names, in the region and at the endpoint of the key table', async () => {
  const stub = await startStub(({ headers }) => {
    const [, call] = String(headers['x-amz-target']).split('.');
    const Table = { TableArn: 'arn', KeySchema: [{ AttributeName: 'id' }] };
    const Items = [{ id: { S: '1' }, card: { S: 'x' }, tenant: { S: 'p' }, owner: { S: 'ann' } }];
    return { status: 200, body: JSON.stringify(call === 'Scan' ? { Items } : { Table }) };
  });
  withStaticKey();
  set({ KEYFOLD_DYNAMODB_ENDPOINT: stub.url, KEYFOLD_DYNAMODB_REGION: 'eu-west-1' });
  const worker = await buildReencrypt();
  const event: ReencryptEvent = {
    table: 'Customers',
    quarantineTable: 'Quarantine',
    run: 'run-1',
    startedAt: '2026-11-28T18:00:00.000Z',
    fields: ['card'],
    verb: 'open',
    form: 'compact',
    plaintext: 'text',
    segment: 3,
    segments: 8,
  };
  const rowsOf = async (names: object): Promise<unknown[]> => {
    const rows: unknown[] = [];
    for await (const page of worker.openRows({ ...event, ...names }).pages(undefined)) {
      rows.push(...page.map(({ partition, context }) => ({ partition, context })));
    }
    return rows;
  };
  const named = { partitionField: 'tenant', context: { table: 'users' }, contextFrom: { user: 'owner' } };
  expect(await rowsOf(named)).toEqual([{ partition: 'p', context: { table: 'users', user: 'ann' } }]);
  expect(await rowsOf({ partition: 'q' })).toEqual([{ partition: 'q', context: undefined }]);
  await worker.openQuarantine(event)({ row: '1', code: 'RecordUnreadable' });
  await stub.stop();
  const sent = stub.requests.map(({ body }) => JSON.parse(body) as object);
  expect(sent[1]).toMatchObject({
    TableName: 'Customers',
    Segment: 3,
    TotalSegments: 8,
    ExpressionAttributeNames: { '#f0': 'id', '#f1': 'card', '#f2': 'tenant', '#f3': 'owner' },
  });
  expect(sent.at(-1)).toMatchObject({ TableName: 'Quarantine', Item: { Run: { S: 'run-1' }, Key: { S: '1' } } });
  for (const { headers } of stub.requests) expect(headers['authorization']).toContain('/eu-west-1/dynamodb/');
});
