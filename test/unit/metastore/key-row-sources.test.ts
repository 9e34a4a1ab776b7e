import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, expect, it, vi } from 'vitest';
import type { KeyItem } from '../../../src/metastore/dynamodb-item.ts';
import { encodeMarkedItem } from '../../../src/metastore/dynamodb-marks.ts';
import { DynamoDbRowTransfer } from '../../../src/metastore/dynamodb-row-transfer.ts';
import { DynamoDbSource, openSqlSource, type SourceRow } from '../../../src/metastore/key-row-sources.ts';
import { encodeKeyRecord, erasedMember, withMembers } from '../../../src/metastore/sql/key-record.ts';
import type { KeyMeta } from '../../../src/records/ids.ts';
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

it('a row of an SQL database keeps its proof and its erasure mark, and is reported if DynamoDB cannot hold the row', async () => {
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

/** The results for the rows of a source, and the commands to the target. `present` returns the answer to a command. */
async function transferred(
  rows: readonly SourceRow[],
  present: (command: string, input: Record<string, unknown>) => object,
  verb: 'add' | 'compare' = 'compare',
  signal = new AbortController().signal,
): Promise<{ readonly results: object[]; readonly commands: string[]; readonly fault: unknown }> {
  const source = {
    called: async () => 'a source',
    rows: async function* () {
      yield* rows;
    },
    close: async () => {},
  };
  const [results, commands]: [object[], string[]] = [[], []];
  const answered = async ({ constructor, input }: { readonly constructor: { name: string }; input: never }) => {
    commands.push(constructor.name);
    const answer = present(constructor.name, input);
    if (answer instanceof Error) throw answer;
    return answer;
  };
  vi.spyOn(DynamoDBClient.prototype, 'send').mockImplementation(answered as never);
  const transfer = new DynamoDbRowTransfer(source, TARGET);
  let fault: unknown;
  try {
    for await (const result of verb === 'add' ? transfer.add(signal) : transfer.compare()) results.push(result);
  } catch (error) {
    fault = error;
  }
  return { results, commands, fault };
}

const PARENT = { id: '_SK_svc_prod', created: KEY.created } as never;

it.for<[string, object, object, string | undefined]>([
  ['the same content', KEY, KEY, undefined],
  ['a proof that the source lacks', { ...KEY, proof: undefined }, KEY, undefined],
  ['a revocation that the source lacks', KEY, { ...KEY, revoked: true }, undefined],
  ['a mark of an erasure that the source lacks', KEY, { ...KEY, erased: MARK }, undefined],
  ['another key', KEY, { ...KEY, encryptedKey: Buffer.from('x') }, 'its key differs'],
  ['another System Key', { ...KEY, parent: PARENT }, KEY, 'its System Key differs'],
  ['no revocation', { ...KEY, revoked: true }, KEY, 'it is revoked in the source only'],
  ['another proof', KEY, { ...KEY, proof: Buffer.alloc(32, 4) }, 'its proof differs'],
  ['no proof', KEY, { ...KEY, proof: undefined }, 'its proof differs'],
  ['no mark of an erasure', { ...KEY, erased: MARK }, KEY, 'its mark of an erasure differs'],
])('a transfer reports whether two rows are the same if the row in the target has %s', async ([, from, to, why]) => {
  const item = encodeMarkedItem(from as never);
  const { results, commands } = await transferred([{ item }], () => ({ Item: encodeMarkedItem(to as never) }), 'add');
  const outcome = why === undefined ? { outcome: 'same' } : { outcome: 'differs', why };
  expect(results).toEqual([{ id: KEY.id, created: 60, ...outcome }]);
  expect(commands).toEqual(['GetItemCommand']);
});

it('a transfer compares all attributes of a row that is unreadable', async () => {
  const item = { ...encodeMarkedItem(KEY), KeyRecord: { S: '' } };
  const key = { id: KEY.id, created: 60 };
  expect((await transferred([{ item }], () => ({ Item: { ...item } }))).results).toEqual([{ ...key, outcome: 'same' }]);
  for (const other of [encodeMarkedItem(KEY), { ...item, Proof: { S: 'x' } }]) {
    const why = 'one of the two rows is unreadable';
    expect((await transferred([{ item }], () => ({ Item: other }))).results).toEqual([
      { ...key, outcome: 'differs', why },
    ]);
  }
});

it('a transfer does not add a row whose ID has a tombstone in the target, unless the row itself has an erasure mark', async () => {
  const tombstone = { Items: [encodeMarkedItem({ ...KEY, erased: MARK })] };
  const answer = (command: string): object => (command === 'QueryCommand' ? tombstone : {});
  const unmarked = await transferred([{ item: encodeMarkedItem(KEY) }], answer, 'add');
  expect(unmarked.results).toEqual([
    { id: KEY.id, created: 60, outcome: 'erased', why: 'the partition is erased in the target' },
  ]);
  expect(unmarked.commands).toEqual(['GetItemCommand', 'QueryCommand']);
  const marked = await transferred([{ item: encodeMarkedItem({ ...KEY, erased: MARK }) }], answer, 'add');
  expect(marked.results).toEqual([{ id: KEY.id, created: 60, outcome: 'added' }]);
  expect(marked.commands).toEqual(['GetItemCommand', 'PutItemCommand']);
  const other = { Items: [encodeMarkedItem(KEY)] };
  const { results } = await transferred([{ item: encodeMarkedItem(KEY) }], (name) =>
    name === 'QueryCommand' ? other : {},
  );
  expect(results).toEqual([{ id: KEY.id, created: 60, outcome: 'missing' }]);
});

it('a transfer compares a row again if another writer adds the row at the same time', async () => {
  const item = encodeMarkedItem(KEY);
  let reads = 0;
  const refused = Object.assign(new Error('refused'), { name: 'ConditionalCheckFailedException' });
  const answer = (command: string): object => {
    if (command === 'PutItemCommand') return refused;
    if (command === 'QueryCommand') return {};
    reads += 1;
    return reads === 1 ? {} : { Item: item };
  };
  const { results, commands } = await transferred([{ item }], answer, 'add');
  expect(results).toEqual([{ id: KEY.id, created: 60, outcome: 'same' }]);
  expect(commands).toEqual(['GetItemCommand', 'QueryCommand', 'PutItemCommand', 'GetItemCommand']);
});

it('a transfer reports a row that DynamoDB cannot hold, and sends no request for that row', async () => {
  const unreadable = { id: 'x', created: undefined, rawCreated: '7.5', unreadable: 'DynamoDB cannot hold its ID' };
  expect(await transferred([unreadable], () => ({}), 'add')).toEqual({
    results: [
      { id: 'x', created: undefined, rawCreated: '7.5', outcome: 'unreadable', why: 'DynamoDB cannot hold its ID' },
    ],
    commands: [],
    fault: undefined,
  });
});

/** The index of the row that a read asks for. */
function indexOf({ Key }: Record<string, unknown>): number {
  return Number((Key as KeyItem)['Created']?.N) / 60;
}

it('a transfer compares 32 rows at a time, and reports the compared rows even if an error then ends the transfer', async () => {
  const items = Array.from({ length: 70 }, (_, i) => encodeMarkedItem({ ...KEY, created: (60 * i) as never }));
  const rows = items.map((item) => ({ item }));
  const all = await transferred(rows, (_, input) => ({ Item: items[indexOf(input)] }));
  expect(all.results).toEqual(rows.map((_, i) => ({ id: KEY.id, created: 60 * i, outcome: 'same' })));
  const failing = (_: string, input: Record<string, unknown>): object =>
    indexOf(input) === 33 ? new Error('down') : { Item: items[indexOf(input)] };
  const { results, commands, fault } = await transferred(rows, failing);
  const compared = [...Array(64).keys()].filter((i) => i !== 33);
  expect(results.map((row) => (row as KeyMeta).created)).toEqual(compared.map((i) => 60 * i));
  expect(commands).toHaveLength(64);
  expect(fault).toMatchObject({ code: 'MetastoreUnavailable' });
});

it('a transfer adds nothing after its signal has aborted', async () => {
  const reason = new Error('interrupted');
  const rows = [{ item: encodeMarkedItem(KEY) }];
  const { results, commands, fault } = await transferred(rows, () => ({}), 'add', AbortSignal.abort(reason));
  expect([results, commands, fault]).toEqual([[], [], reason]);
});

it('a transfer closes the connections to its source', async () => {
  await new DynamoDbRowTransfer(await openSqlSource('postgres://h/d'), TARGET).close();
  expect(database.closed).toBe(1);
  const destroy = vi.spyOn(DynamoDBClient.prototype, 'destroy');
  await new DynamoDbRowTransfer(new DynamoDbSource(TARGET), TARGET).close();
  expect(destroy).toHaveBeenCalledOnce();
});
