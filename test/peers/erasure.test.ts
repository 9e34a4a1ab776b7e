/** Tests what Asherah does with a partition that Keyfold erases on the same table. */
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeDataRowRecord } from '../../src/index.ts';
import { DynamoDbKeyTable } from '../../src/metastore/dynamodb-key-table.ts';
import { TOMBSTONE_CREATED } from '../../src/records/ids.ts';
import { codeOf, DAY_MS } from '../support/fakes.ts';
import { OperatorFixture } from '../support/operator.ts';
import { ASHERAHS, GO_STATIC_KEY, type Asherah } from './asherah.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { NAMES, shareTable, type SharedTable } from './shared-table.ts';

const PAYLOAD = Buffer.from('payload, and \u{1f511}');

let dynamoDb: PeerServer;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  dynamoDb = await startDynamoDbLocal();
});
afterAll(() => dynamoDb.stop());

/** An operator who erases the partition `tenant`. */
function operatorOf({ tableName }: SharedTable) {
  const operator = OperatorFixture.at(dynamoDb.endpoint);
  const settings = {
    KEYFOLD_SERVICE: NAMES.service,
    KEYFOLD_PRODUCT: NAMES.product,
    KEYFOLD_TABLE: tableName,
    KEYFOLD_STATIC_MASTER_KEY_HEX: GO_STATIC_KEY.toString('hex'),
  };
  return {
    clock: operator.clock,
    erase: async (...options: string[]): Promise<void> => {
      const args = ['partitions', 'erase', 'tenant', '--reason', 'x', '--confirm', 'tenant', ...options];
      const { code, stderr } = await operator.keyfold(args, settings);
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) as string });
    },
  };
}

/** The dates of the partition's rows, latest first. */
async function dates({ tableName }: SharedTable): Promise<(number | undefined)[]> {
  const table = new DynamoDbKeyTable({ tableName, endpoint: dynamoDb.endpoint, region: AWS_ENVIRONMENT.AWS_REGION });
  return (await table.list(`_IK_tenant_${NAMES.service}_${NAMES.product}`)).map(({ created }) => created);
}

/** The error codes of two calls to Keyfold: a decrypt of the record, and an encrypt. */
async function keyfoldSays(table: SharedTable, record: string): Promise<string[]> {
  const session = table.keyfold().session('tenant');
  return [await codeOf(session.decryptJson(record)), await codeOf(session.encrypt(PAYLOAD))];
}

const ERASED = ['PartitionErased', 'PartitionErased'];

async function isRefused(work: ReturnType<Asherah['decrypt']>): Promise<boolean> {
  return work.then(
    () => false,
    () => true,
  );
}

it('an erasure deletes rows that cannot be read, even if their dates have fractions', async () => {
  const table = await shareTable(dynamoDb.endpoint, { core: 'go' });
  const { tableName } = table;
  await table.keyfold().session('tenant').encrypt(PAYLOAD);
  const { erase, clock } = operatorOf(table);
  const client = new DynamoDBClient({ endpoint: dynamoDb.endpoint, region: AWS_ENVIRONMENT.AWS_REGION });
  for (const date of ['7', '0.00000000000000000000001', '253402300799.5', '-1e100']) {
    const Item = { Id: { S: `_IK_tenant_${NAMES.service}_${NAMES.product}` }, Created: { N: date } };
    await client.send(new PutItemCommand({ TableName: tableName, Item }));
  }
  client.destroy();
  await erase();
  expect(await dates(table)).toHaveLength(6);
  clock.advance(8 * DAY_MS);
  await erase('--finish', '--delete-unmarked');
  expect(await dates(table)).toEqual([TOMBSTONE_CREATED]);
});

describe.for(ASHERAHS)('Asherah %s', (core) => {
  it('still encrypts and decrypts for a partition that is marked for erasure, until the keys are deleted', async () => {
    const table = await shareTable(dynamoDb.endpoint, { core });
    // The key is two hours old, so that Asherah's new key gets a different date.
    const old = await table.keyfold({ offsetMs: -7_200_000 }).session('tenant').encryptToJson(PAYLOAD);
    const other = await table.keyfold().session('other').encryptToJson(PAYLOAD);
    const { erase, clock } = operatorOf(table);
    await erase();
    await using peer = await table.asherah();
    expect(await peer.decrypt('tenant', old)).toEqual(PAYLOAD);
    const theirs = await peer.encrypt('tenant', PAYLOAD);
    const { created } = decodeDataRowRecord(theirs).key.parent;
    expect(await dates(table)).toEqual([TOMBSTONE_CREATED, created, decodeDataRowRecord(old).key.parent.created]);
    expect(await keyfoldSays(table, old)).toEqual(ERASED);

    clock.advance(8 * DAY_MS);
    await erase('--finish', '--delete-unmarked');
    expect(await dates(table)).toEqual([TOMBSTONE_CREATED]);
    await using cold = await table.asherah();
    for (const record of [old, theirs]) expect(await isRefused(cold.decrypt('tenant', record))).toBe(true);
    for (const record of [old, theirs]) expect(await keyfoldSays(table, record)).toEqual(ERASED);
    expect(await cold.decrypt('other', other)).toEqual(PAYLOAD);
    expect(await table.keyfold().session('other').decryptJson(other)).toEqual(PAYLOAD);
  });

  it('creates a new key for an erased partition, but Keyfold still refuses the partition and can delete the key', async () => {
    const table = await shareTable(dynamoDb.endpoint, { core });
    const old = await table.keyfold({ offsetMs: -7_200_000 }).session('tenant').encryptToJson(PAYLOAD);
    const { erase, clock } = operatorOf(table);
    await erase();
    clock.advance(8 * DAY_MS);
    await erase('--finish');
    await using peer = await table.asherah();
    const theirs = await peer.encrypt('tenant', PAYLOAD);
    expect(await dates(table)).toHaveLength(2);
    // Another process cannot create that key again in the same minute. It fails or uses another key, but never the
    // tombstone.
    await using late = await table.asherah();
    const sealed = await late.encrypt('tenant', PAYLOAD).catch(() => undefined);
    const used = sealed && decodeDataRowRecord(sealed).key.parent.created;
    expect(used).not.toBe(TOMBSTONE_CREATED);
    expect(await keyfoldSays(table, old)).toEqual(ERASED);
    await erase('--finish', '--delete-unmarked');
    expect(await dates(table)).toEqual([TOMBSTONE_CREATED]);
    await using cold = await table.asherah();
    expect(await isRefused(cold.decrypt('tenant', theirs))).toBe(true);
  });

  it('opens and seals again after the erasure is cancelled, as Keyfold does', async () => {
    const table = await shareTable(dynamoDb.endpoint, { core });
    const old = await table.keyfold({ offsetMs: -7_200_000 }).session('tenant').encryptToJson(PAYLOAD);
    const { erase } = operatorOf(table);
    await erase();
    await erase('--cancel');
    await using peer = await table.asherah();
    expect(await peer.decrypt('tenant', old)).toEqual(PAYLOAD);
    const theirs = await peer.encrypt('tenant', PAYLOAD);
    expect(await table.keyfold().session('tenant').decryptJson(theirs)).toEqual(PAYLOAD);
    expect(await table.keyfold().session('tenant').decryptJson(old)).toEqual(PAYLOAD);
  });
});
