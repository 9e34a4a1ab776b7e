import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, expect, it, vi } from 'vitest';
import { encodeMarkedItem } from '../../../src/metastore/dynamodb-marks.ts';
import { DynamoDbRowTransfer } from '../../../src/metastore/dynamodb-row-transfer.ts';
import { DynamoDbSource, openSqlSource, type SourceRow } from '../../../src/metastore/key-row-sources.ts';
import { encodeKeyRecord, erasedMember, withMembers } from '../../../src/metastore/sql/key-record.ts';
import { keyRecord, LONG_ID } from '../../../src/testing/key-record.ts';

const database = vi.hoisted(() => ({ rows: [] as object[], closed: 0 }));
vi.mock('../../../src/metastore/sql/open-database.ts', () => ({
  openDatabase: async () => ({
    called: 'PostgreSQL at h:1',
    table: { page: async () => database.rows },
    close: async () => void (database.closed += 1),
  }),
}));

const KEY = { ...keyRecord('_IK_p_svc_prod', 60), proof: Buffer.alloc(32, 3) };
const MARK = { erase: 'e1', at: KEY.created, due: keyRecord('', 120).created, proof: Buffer.alloc(32, 7) };
const TARGET = { region: 'us-west-2' };

afterEach(() => vi.restoreAllMocks());

it('a row of an SQL database keeps its proof and its mark, and is reported if DynamoDB cannot hold it', async () => {
  const text = withMembers(encodeKeyRecord(KEY), erasedMember(MARK));
  const row = { id: KEY.id, created: 60, date: '60', text };
  database.rows = [row, { ...row, id: `${LONG_ID}x` }, { ...row, text: '{' }];
  const source = await openSqlSource('postgres://h/d');
  const rows: SourceRow[] = [];
  for await (const each of source.rows()) rows.push(each);
  const Erased = {
    M: { Erase: { S: 'e1' }, At: { N: '60' }, Due: { N: '120' }, Proof: { B: MARK.proof } },
  };
  expect(await source.called()).toBe('PostgreSQL at h:1');
  expect(rows).toMatchObject([
    { item: { Id: { S: KEY.id }, Created: { N: '60' }, Proof: { B: KEY.proof }, Erased } },
    { id: `${LONG_ID}x`, created: 60, unreadable: 'DynamoDB cannot hold its ID' },
    { id: KEY.id, created: 60, unreadable: expect.stringContaining('cannot be read') as string },
  ]);
});

it('a transfer between tables reads its source and its target with consistent reads', async () => {
  const item = encodeMarkedItem({ ...KEY, erased: MARK });
  const sent: unknown[] = [];
  const answered = async (command: { readonly input: object }): Promise<object> => {
    sent.push([command.constructor.name, command.input]);
    return command.constructor.name === 'ScanCommand' ? { Items: [item] } : {};
  };
  vi.spyOn(DynamoDBClient.prototype, 'send').mockImplementation(answered as never);
  const transfer = new DynamoDbRowTransfer(new DynamoDbSource({ ...TARGET, tableName: 'Old' }), TARGET);
  const rows: unknown[] = [];
  for await (const row of transfer.add(new AbortController().signal)) rows.push(row);
  expect(rows).toEqual([{ id: KEY.id, created: 60, outcome: 'added' }]);
  const TableName = 'EncryptionKey';
  const Key = { Id: { S: KEY.id }, Created: { N: '60' } };
  expect(sent).toEqual([
    ['ScanCommand', { TableName: 'Old', ConsistentRead: true }],
    ['GetItemCommand', { TableName, Key, ConsistentRead: true }],
    ['PutItemCommand', { TableName, Item: item, ConditionExpression: 'attribute_not_exists(Id)' }],
  ]);
});

it('a transfer closes the connections to its source', async () => {
  await new DynamoDbRowTransfer(await openSqlSource('postgres://h/d'), TARGET).close();
  expect(database.closed).toBe(1);
  const destroy = vi.spyOn(DynamoDBClient.prototype, 'destroy');
  await new DynamoDbRowTransfer(new DynamoDbSource(TARGET), TARGET).close();
  expect(destroy).toHaveBeenCalledOnce();
});
