import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterEach, expect, it, vi } from 'vitest';
import type { Cell, Position } from '../../../src/maintenance/reencryption/rows.ts';
import { DynamoDbRows } from '../../../src/rows/dynamodb-rows.ts';
import { errorOf } from '../../support/fakes.ts';
import { startStub, type StubAnswer, type StubServer } from '../../support/stub-server.ts';

let stub: StubServer | undefined;

afterEach(async () => {
  vi.restoreAllMocks();
  await stub?.stop();
});

const refusal = (name: string, status = 400): StubAnswer => ({ status, body: JSON.stringify({ __type: name }) });

/** The rows of a table at the stub server. */
function openRows(
  endpoint: string,
  writeUnits?: number,
  segment = { index: 0, of: 1 },
  readUnits?: number,
  fields = ['r'],
): DynamoDbRows {
  const table = { tableName: 'Orders', region: 'us-west-2', endpoint };
  const names = { partitionField: undefined, partition: undefined, context: undefined, contextFrom: undefined };
  return new DynamoDbRows({ ...names, table, fields, segment, readUnits, writeUnits }, Date.now);
}

const ROW = { id: '1', item: {}, cells: new Map(), partition: undefined, context: undefined };

const success = (body: object): StubAnswer => ({ status: 200, body: JSON.stringify(body) });

it('DynamoDbRows retries failed calls that describe the table or read a page', { timeout: 30_000 }, async () => {
  const failures = new Map<string, number>();
  stub = await startStub(({ headers }) => {
    const target = String(headers['x-amz-target']);
    const count = failures.get(target) ?? 0;
    failures.set(target, count + 1);
    // The SDK itself tries a call three times.
    if (count < 7) return refusal('InternalServerError', 500);
    return target.endsWith('DescribeTable')
      ? success({ Table: { KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }] } })
      : success({ Items: [{ id: { S: '1' }, r: { S: 'x' } }] });
  });
  const ids: string[] = [];
  for await (const page of openRows(stub.url).pages(undefined)) ids.push(...page.map(({ id }) => id));
  expect(ids).toEqual(['{"id":"1"}']);
});

it.for(['ValidationException', 'ItemCollectionSizeLimitExceededException'])(
  'DynamoDbRows reports %s as a fault of the item, not of the table',
  async (name) => {
    stub = await startStub(refusal(name));
    const write = openRows(stub.url).replace(ROW, new Map([['r', { kind: 'text', text: 'x' }]]));
    expect(await errorOf(write)).toMatchObject({
      name: 'KeyfoldError',
      code: 'PayloadTooLarge',
      retryable: false,
      message:
        'DynamoDB refuses the changed item. It may be larger than 400 KB, or its item collection larger than 10 GB.',
    });
  },
);

it('DynamoDbRows adds a write whose condition failed to the write units that it has used', async () => {
  stub = await startStub(refusal('ConditionalCheckFailedException'));
  const rows = openRows(stub.url, 20);
  const beganMs = performance.now();
  for (let i = 0; i < 4; i += 1) {
    expect(await rows.replace(ROW, new Map([['r', { kind: 'text', text: 'x' }]]))).toBe('changed');
  }
  // The first write does not wait. Each later write waits until 50 ms after the previous one.
  expect(performance.now() - beganMs).toBeGreaterThan(140);
});

it('DynamoDbRows counts one unit for a call if the response does not say how many units the call consumed', async () => {
  stub = await startStub(({ headers }) => {
    const isDescription = String(headers['x-amz-target']).endsWith('DescribeTable');
    return success(isDescription ? { Table: { KeySchema: [] } } : { Items: [], LastEvaluatedKey: { id: { S: '1' } } });
  });
  const rows = openRows(stub.url, 20, undefined, 20);
  const write = (): Promise<unknown> => rows.replace(ROW, new Map([['r', { kind: 'text', text: 'x' }]]));
  const pages = rows.pages(undefined);
  for (const call of [write, () => pages.next()]) {
    const beganMs = performance.now();
    for (let i = 0; i < 4; i += 1) await call();
    // The first call does not wait. Each later call waits until 50 ms after the previous one.
    expect(performance.now() - beganMs).toBeGreaterThan(140);
  }
  await pages.return([]);
});

it('DynamoDbRows reports a fault of the table if the table refuses a write', async () => {
  stub = await startStub(refusal('AccessDeniedException'));
  const write = openRows(stub.url).replace(ROW, new Map([['r', { kind: 'text', text: 'x' }]]));
  expect(await errorOf(write)).toMatchObject({
    name: 'SourceFault',
    mayPass: false,
    message: expect.stringMatching(/^The table Orders fails: AccessDeniedException/) as string,
  });
});

/** Starts a table with one item, in which each call consumes 2000 capacity units. */
async function startCostlyTable(): Promise<string> {
  const ConsumedCapacity = { CapacityUnits: 2000 };
  stub = await startStub(({ headers }) => {
    const target = String(headers['x-amz-target']);
    if (target.endsWith('DescribeTable')) return success({ Table: { KeySchema: [{ AttributeName: 'id' }] } });
    return success({ Items: [], LastEvaluatedKey: { id: { S: '1' } }, ConsumedCapacity });
  });
  return stub.url;
}

/** Waits until the table has received this many calls, and checks that the last call has not ended soon after. */
async function mustWait(last: Promise<unknown>, calls: number): Promise<void> {
  await vi.waitFor(() => expect(stub?.requests).toHaveLength(calls), { timeout: 10_000 });
  const outcome = await Promise.race([last.then(() => 'it has ended'), sleep(300, 'it waits')]);
  expect(outcome).toBe('it waits');
}

it('DynamoDbRows delays a page until the rate limit covers the previous page, or until its signal aborts', async () => {
  const rows = openRows(await startCostlyTable(), undefined, { index: 0, of: 1 }, 20);
  const controller = new AbortController();
  const pages = rows.pages(undefined, controller.signal);
  await pages.next();
  const second = pages.next();
  await mustWait(second, 3);
  controller.abort();
  expect(await second).toEqual({ done: false, value: [] });
  await pages.return([]);
});

it('DynamoDbRows delays a write until the rate limit covers the previous write, or until its signal aborts', async () => {
  const rows = openRows(await startCostlyTable(), 20);
  const controller = new AbortController();
  const pages = rows.pages(undefined, controller.signal);
  await pages.next();
  const write = (): Promise<unknown> => rows.replace(ROW, new Map([['r', { kind: 'text', text: 'x' }]]));
  expect(await write()).toBe('written');
  const second = write();
  await mustWait(second, 5);
  controller.abort();
  expect(await second).toBe('written');
  await pages.return([]);
});

it('DynamoDbRows waits 30 seconds for a response, because no caller waits for the result of a run', async () => {
  stub = await startStub(success({}));
  const send = vi.spyOn(DynamoDBClient.prototype, 'send');
  await openRows(stub.url).reread(ROW);
  const { requestHandler } = (send.mock.contexts[0] as DynamoDBClient).config;
  expect((requestHandler as unknown as { httpHandlerConfigs(): object }).httpHandlerConfigs()).toMatchObject({
    connectionTimeout: 1000,
    requestTimeout: 30_000,
    socketTimeout: 30_000,
  });
});

it('DynamoDbRows refuses a position in a table of another region or account', async () => {
  const table = (TableArn: string): StubAnswer => success({ Table: { TableArn, KeySchema: [] } });
  stub = await startStub(table('arn:of:one'), success({ Items: [] }), table('arn:of:another'));
  const one = openRows(stub.url);
  for await (const page of one.pages(undefined)) expect(page).toEqual([]);
  const pages = openRows(stub.url).pages(await one.position());
  expect(await errorOf(pages.next())).toMatchObject({
    code: 'InvalidRequest',
    message: 'The checkpoint is of another table Orders. Name another file.',
  });
});

it('DynamoDbRows continues from a position that was saved as JSON, for every type of key', async () => {
  const KeySchema = ['b', 'n'].map((AttributeName) => ({ AttributeName }));
  const last = { b: { B: Buffer.from([0, 255]).toString('base64') }, n: { N: '12345678901234567890' } };
  const described = success({ Table: { TableArn: 'arn:of:one', KeySchema } });
  const page = success({ Items: [{ ...last, r: { S: 'x' } }], LastEvaluatedKey: last });
  stub = await startStub(described, page);
  const first = openRows(stub.url);
  const { value: [row] = [] } = await first.pages(undefined).next();
  expect(row?.id).toBe('{"b":"AP8=","n":"12345678901234567890"}');
  const position = JSON.parse(JSON.stringify(await first.position())) as Position;
  expect(position).toEqual({ table: 'arn:of:one', after: last });
  await stub.stop();
  stub = await startStub(described, page);
  await openRows(stub.url).pages(position).next();
  expect(JSON.parse(stub.requests[1]?.body ?? '')).toMatchObject({
    ExclusiveStartKey: last,
    ConsistentRead: true,
    Limit: 1000,
  });
});

it.for<[string, { readonly index: number; readonly of: number }, object]>([
  ['a whole table', { index: 0, of: 1 }, {}],
  ['one of two segments', { index: 1, of: 2 }, { Segment: 1, TotalSegments: 2 }],
])('DynamoDbRows reads only the fields and the key in a scan of %s', async ([, segment, members]) => {
  stub = await startStub(success({ Table: { KeySchema: [{ AttributeName: 'id' }] } }), success({ Items: [] }));
  await openRows(stub.url, undefined, segment).pages(undefined).next();
  expect(JSON.parse(stub.requests[1]?.body ?? '')).toEqual({
    TableName: 'Orders',
    ConsistentRead: true,
    ProjectionExpression: '#f0, #f1',
    ExpressionAttributeNames: { '#f0': 'id', '#f1': 'r' },
    Limit: 1000,
    ReturnConsumedCapacity: 'TOTAL',
    ...members,
  });
});

it('DynamoDbRows reads no page if it continues from the end of the table', async () => {
  stub = await startStub(success({ Table: { TableArn: 'arn:of:one', KeySchema: [] } }), success({ Items: [] }));
  const rows = openRows(stub.url);
  expect(await rows.position()).toEqual({ table: '' });
  for await (const page of rows.pages(undefined)) expect(page).toEqual([]);
  const end = await rows.position();
  expect(end).toEqual({ table: 'arn:of:one', end: true });
  await stub.stop();
  stub = await startStub(success({ Table: { TableArn: 'arn:of:one', KeySchema: [] } }));
  const again = openRows(stub.url);
  expect(await again.pages(end).next()).toEqual({ done: true, value: undefined });
  expect(await again.position()).toEqual(end);
  expect(stub.requests).toHaveLength(1);
});

it.for<['may help' | 'cannot help', string, StubAnswer]>([
  ['may help', 'throttles', refusal('ThrottlingException')],
  ['may help', 'has too little capacity', refusal('ProvisionedThroughputExceededException')],
  ['may help', 'is being changed by a transaction', refusal('TransactionConflictException')],
  ['may help', 'is being changed in another region', refusal('ReplicatedWriteConflictException')],
  ['may help', 'has an internal error', refusal('InternalServerError', 500)],
  ['may help', 'does not respond in time', refusal('RequestTimeout', 408)],
  ['may help', 'is behind a proxy that fails', { status: 502, body: '<html>' }],
  ['may help', 'breaks the connection', 'reset'],
  ['cannot help', 'denies access', refusal('AccessDeniedException')],
  ['cannot help', 'does not exist', refusal('ResourceNotFoundException')],
  ['cannot help', 'does not recognise the credentials', refusal('UnrecognizedClientException')],
])('DynamoDbRows reports that a retry %s if the table %s', { timeout: 20_000 }, async ([verdict, , answer]) => {
  stub = await startStub(answer);
  const rows = openRows(stub.url);
  expect(await errorOf(rows.reread(ROW))).toMatchObject({
    name: 'SourceFault',
    mayPass: verdict === 'may help',
    message: expect.stringMatching(/^The table Orders fails: [A-Z]\w+/) as string,
  });
});

it("DynamoDbRows refuses to change an attribute of the table's key", async () => {
  const KeySchema = ['id', 'r'].map((AttributeName) => ({ AttributeName }));
  stub = await startStub(success({ Table: { KeySchema } }));
  expect(await errorOf(openRows(stub.url).pages(undefined).next())).toMatchObject({
    code: 'InvalidRequest',
    message: "The attribute r is part of the table's key, so it cannot be changed.",
  });
});

/** Reads the first page of an empty table with this primary key. */
async function readWithKey(fields: string[], ...names: string[]): Promise<unknown> {
  await stub?.stop();
  const KeySchema = names.map((AttributeName) => ({ AttributeName }));
  stub = await startStub(success({ Table: { KeySchema }, Items: [] }));
  return openRows(stub.url, undefined, undefined, undefined, fields).pages(undefined).next();
}

it('DynamoDbRows refuses a table only if its primary key and one of the fields are those of a key table', async () => {
  expect(await errorOf(readWithKey(['r', 'KeyRecord'], 'Id', 'Created'))).toMatchObject({
    code: 'InvalidRequest',
    message: 'The table Orders is a key table: its rows hold keys, not records.',
  });
  expect(await readWithKey(['r'], 'Id', 'Created')).toEqual({ done: false, value: [] });
  expect(await readWithKey(['KeyRecord'], 'Id')).toEqual({ done: false, value: [] });
});

it('the size of DynamoDbRows is the number of items that DynamoDB counted', async () => {
  stub = await startStub(success({ Table: { KeySchema: [], ItemCount: 1200 } }), success({ Items: [] }));
  const rows = openRows(stub.url);
  await rows.pages(undefined).next();
  expect(rows.size()).toBe(1200);
});

it('DynamoDbRows names each attribute once in a request, even if the partition and the context are part of the key', async () => {
  const described = { Table: { KeySchema: ['id', 'at'].map((AttributeName) => ({ AttributeName })) } };
  const item = { id: { S: 'tenant-1' }, at: { S: 'noon' }, r: { S: 'x' } };
  stub = await startStub(success(described), success({ Items: [item] }), success({ Item: item }), success({}));
  const table = { tableName: 'Orders', region: 'us-west-2', endpoint: stub.url };
  const names = { partitionField: 'id', partition: undefined, context: undefined, contextFrom: { time: 'at', r: 'r' } };
  const options = { ...names, table, fields: ['r'], segment: { index: 0, of: 1 } };
  const rows = new DynamoDbRows({ ...options, readUnits: undefined, writeUnits: undefined }, Date.now);
  for await (const [row] of rows.pages(undefined)) {
    if (row === undefined) throw new Error('no row');
    expect(row).toMatchObject({ partition: 'tenant-1', context: { time: 'noon', r: 'x' } });
    await rows.reread(row);
    await rows.replace(row, new Map([['r', { kind: 'text', text: 'y' }]]));
  }
  const Key = { id: { S: 'tenant-1' }, at: { S: 'noon' } };
  const projected = {
    TableName: 'Orders',
    ConsistentRead: true,
    ProjectionExpression: '#f0, #f1, #f2',
    ExpressionAttributeNames: { '#f0': 'id', '#f1': 'at', '#f2': 'r' },
  };
  expect(stub.requests.slice(1).map(({ body }) => JSON.parse(body) as object)).toEqual([
    { ...projected, Limit: 1000, ReturnConsumedCapacity: 'TOTAL' },
    { ...projected, Key },
    {
      TableName: 'Orders',
      Key,
      UpdateExpression: 'SET #f0 = :n0',
      // Keys never change, so the condition of a write names the other attributes only.
      ConditionExpression: '#f0 = :o0',
      ExpressionAttributeNames: { '#f0': 'r' },
      ExpressionAttributeValues: { ':n0': { S: 'y' }, ':o0': { S: 'x' } },
      ReturnConsumedCapacity: 'TOTAL',
    },
  ]);
});

it('DynamoDbRows reads a partition and a context value from a number, but not from a boolean or a null', async () => {
  const Items = [
    { id: { S: '1' }, p: { N: '42' }, c: { N: '7' } },
    { id: { S: '2' }, p: { BOOL: true }, c: { NULL: true } },
    { id: { S: '3' }, r: { NULL: true } },
  ];
  stub = await startStub(success({ Table: { KeySchema: [{ AttributeName: 'id' }] } }), success({ Items }));
  const table = { tableName: 'Orders', region: 'us-west-2', endpoint: stub.url };
  const names = { partitionField: 'p', partition: 'unused', context: { of: 'all' }, contextFrom: { c: 'c' } };
  const options = { ...names, table, fields: ['r'], segment: { index: 0, of: 1 } };
  const rows = new DynamoDbRows({ ...options, readUnits: undefined, writeUnits: undefined }, Date.now);
  const read: object[] = [];
  for await (const page of rows.pages(undefined))
    read.push(...page.map(({ id, partition, context, cells }) => ({ id, partition, context, cells })));
  expect(read).toEqual([
    { id: '{"id":"1"}', partition: '42', context: { of: 'all', c: '7' }, cells: new Map() },
    { id: '{"id":"2"}', partition: '', context: { of: 'all', c: undefined }, cells: new Map() },
    { id: '{"id":"3"}', partition: '', context: { of: 'all', c: undefined }, cells: new Map() },
  ]);
});

it('DynamoDbRows reads and writes an item that has no attribute with the name "constructor"', async () => {
  let sent: object = {};
  stub = await startStub(({ headers, body }) => {
    sent = JSON.parse(body) as object;
    return String(headers['x-amz-target']).endsWith('DescribeTable')
      ? success({ Table: { KeySchema: [{ AttributeName: 'id' }] } })
      : success({ Items: [{ id: { S: '1' }, r: { S: 'x' } }] });
  });
  const rows = openRows(stub.url, undefined, undefined, undefined, ['r', 'constructor']);
  const [row] = (await rows.pages(undefined).next()).value ?? [];
  expect([...(row?.cells ?? [])]).toEqual([['r', { kind: 'text', text: 'x' }]]);
  const cells = new Map<string, Cell>([
    ['r', { kind: 'text', text: 'y' }],
    ['constructor', { kind: 'text', text: 'z' }],
  ]);
  await rows.replace(row ?? ROW, cells);
  expect(sent).toMatchObject({
    UpdateExpression: 'SET #f0 = :n0, #f1 = :n1',
    ConditionExpression: '#f0 = :o0 AND attribute_not_exists(#f1)',
    ExpressionAttributeNames: { '#f0': 'r', '#f1': 'constructor' },
    ExpressionAttributeValues: { ':n0': { S: 'y' }, ':n1': { S: 'z' }, ':o0': { S: 'x' } },
  });
});
