import { afterEach, expect, it, vi } from 'vitest';
import { DynamoDbErasureTables } from '../../../src/metastore/dynamodb-erasure-tables.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { startStub, type StubRequest, type StubServer } from '../../support/stub-server.ts';

const HERE = 'arn:aws:dynamodb:us-west-2:111122223333:table/EncryptionKey';
let stub: StubServer;

afterEach(async () => {
  vi.unstubAllEnvs();
  await stub.stop();
});

it.for([
  ['the ARN of the replica if tableName is an ARN', HERE, HERE.replace('us-west-2', 'us-east-1')],
  ['the name of the table if tableName is a name', 'EncryptionKey', 'EncryptionKey'],
] as const)('DynamoDbErasureTables addresses the replica in another region by %s', async ([, tableName, asked]) => {
  stub = await startStub({ status: 200, body: '{}' });
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'a');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 's');
  const options = { tableName, region: 'us-west-2', endpoint: stub.url };
  const tables = new DynamoDbErasureTables(options, { service: 'svc', product: 'prod' });
  await tables.copies('us-east-1', 0);
  await tables.at('us-east-1').rows({ id: '_IK_p_svc_prod' });
  const names = stub.requests.map(({ body }) => (JSON.parse(body) as { TableName?: string }).TableName);
  expect(new Set(names.filter((name) => name !== undefined))).toEqual(new Set([asked]));
});

function actionOf({ headers }: StubRequest): string {
  return String(headers['x-amz-target']).replace(/.*\./, '');
}

/** The requests that `work` makes, each as its action and body. The stub returns an action's `answers` in order. */
async function requestsOf(
  work: (tables: DynamoDbErasureTables) => Promise<unknown>,
  answers: Record<string, object[]> = {},
): Promise<[action: string, request: Record<string, unknown>][]> {
  stub = await startStub((request) => ({
    status: 200,
    body: JSON.stringify(answers[actionOf(request)]?.shift() ?? {}),
  }));
  const credentials = { accessKeyId: 'a', secretAccessKey: 's' };
  const options = { region: 'us-west-2', endpoint: stub.url, credentials };
  await work(new DynamoDbErasureTables(options, { service: 'svc', product: 'prod' }));
  return stub.requests.map((request) => [actionOf(request), JSON.parse(request.body) as Record<string, unknown>]);
}

const TableName = 'EncryptionKey';
const ROW = keyRecord('_IK_p_svc_prod', 60);
const MARK = { erase: 'e1', at: ROW.created, due: keyRecord('', 120).created, proof: Buffer.alloc(32, 7) };
const Key = { Id: { S: ROW.id }, Created: { N: '60' } };
const ERASED = {
  M: { Erase: { S: 'e1' }, At: { N: '60' }, Due: { N: '120' }, Proof: { B: MARK.proof.toString('base64') } },
};
const SEALED = { S: 'a2V5IDYw' };
const NAMES = { '#key': 'Key' };
const VALUES = { ':key': SEALED };

it('DynamoDbErasureTables uses strongly consistent reads', async () => {
  const requests = await requestsOf(async (tables) => {
    await tables.at('us-west-2').rows({ id: ROW.id });
    await tables.at('us-west-2').rows({ prefixes: ['_IK_p', '_SK_'] });
    await tables.register.list();
  });
  expect(requests).toMatchObject([
    ['Query', { TableName, ConsistentRead: true }],
    [
      'Scan',
      {
        TableName,
        ConsistentRead: true,
        FilterExpression: 'begins_with(Id, :p0) OR begins_with(Id, :p1)',
        ExpressionAttributeValues: { ':p0': { S: '_IK_p' }, ':p1': { S: '_SK_' } },
      },
    ],
    ['Query', { TableName, ConsistentRead: true }],
  ]);
});

it('DynamoDbErasureTables writes only rows that have not changed since they were read', async () => {
  const requests = await requestsOf(async (tables) => {
    const table = tables.at('us-west-2');
    await table.store({ ...ROW, erased: MARK });
    await table.store({ ...ROW, erased: MARK }, ROW);
    await table.store({ ...ROW, erased: MARK }, { ...ROW, unreadable: 'it cannot be parsed' });
    await table.mark(ROW, MARK);
    await table.mark({ ...ROW, erased: MARK }, undefined);
    await table.remove({ ...ROW, erased: { ...MARK, erase: '' } });
  });
  const Item = { ...Key, KeyRecord: { M: { Created: { N: '60' }, Key: SEALED } }, Erased: ERASED };
  const change = { TableName, Key, ExpressionAttributeNames: NAMES, ExpressionAttributeValues: VALUES };
  expect(requests).toEqual([
    ['PutItem', { TableName, Item, ConditionExpression: 'attribute_not_exists(Id)' }],
    [
      'PutItem',
      {
        TableName,
        Item,
        ConditionExpression: 'KeyRecord.#key = :key AND attribute_not_exists(Erased)',
        ExpressionAttributeNames: NAMES,
        ExpressionAttributeValues: VALUES,
      },
    ],
    ['PutItem', { TableName, Item, ConditionExpression: 'attribute_exists(Id)' }],
    [
      'UpdateItem',
      {
        ...change,
        UpdateExpression: 'SET Erased = :mark, KeyRecord.Revoked = :true',
        ConditionExpression: 'KeyRecord.#key = :key AND attribute_not_exists(Erased)',
        ExpressionAttributeValues: { ...VALUES, ':mark': ERASED, ':true': { BOOL: true } },
      },
    ],
    [
      'UpdateItem',
      {
        ...change,
        UpdateExpression: 'REMOVE Erased',
        ConditionExpression: 'KeyRecord.#key = :key AND Erased.#erase = :erase',
        ExpressionAttributeNames: { ...NAMES, '#erase': 'Erase' },
        ExpressionAttributeValues: { ...VALUES, ':erase': { S: 'e1' } },
      },
    ],
    ['DeleteItem', { ...change, ConditionExpression: 'KeyRecord.#key = :key AND attribute_exists(Erased)' }],
  ]);
});

it('DynamoDbErasureTables deletes an unreadable row by the raw date of the row, and makes no call if there is no raw date', async () => {
  const unreadable = { id: ROW.id, created: undefined, unreadable: 'it cannot be parsed' };
  const requests = await requestsOf(async (tables) => {
    await tables.at('us-west-2').remove(unreadable);
    await tables.at('us-west-2').remove({ ...unreadable, rawCreated: '7.5' });
  });
  expect(requests).toEqual([
    ['DeleteItem', { TableName, Key: { ...Key, Created: { N: '7.5' } }, ConditionExpression: 'attribute_exists(Id)' }],
  ]);
});

it('the register of erasures in DynamoDB adds only new entries, and updates only entries that exist', async () => {
  const { proof, ...erasure } = MARK;
  const entry = { partition: 'p' as never, ...erasure };
  const requests = await requestsOf(async ({ register }) => {
    await register.add(entry);
    await register.update({ ...entry, deletedAt: 300 });
    await register.remove(entry);
  });
  const id = { Id: { S: '_EP_svc_prod' }, Created: { N: '60' } };
  const Item = {
    ...id,
    KeyRecord: { M: { Created: { N: '60' }, Key: { S: 'AA==' }, Revoked: { BOOL: true } } },
    Partition: { S: 'p' },
    Erase: { S: 'e1' },
    Due: { N: '120' },
  };
  expect(requests).toEqual([
    ['PutItem', { TableName, Item, ConditionExpression: 'attribute_not_exists(Id)' }],
    ['PutItem', { TableName, Item: { ...Item, DeletedAt: { N: '300' } }, ConditionExpression: 'attribute_exists(Id)' }],
    ['DeleteItem', { TableName, Key: id }],
  ]);
  expect(proof).toHaveLength(32);
});

it.for(['Partition', 'Erase', 'Created', 'Due'])(
  'the register of erasures in DynamoDB does not list an entry without %s',
  async (attribute) => {
    const item = { ...Key, Partition: { S: 'p' }, Erase: { S: 'e1' }, Due: { N: '120' } };
    const listed: unknown[] = [];
    const pages = { Query: [{ Items: [item, { ...item, [attribute]: undefined }] }] };
    await requestsOf(async ({ register }) => listed.push(...(await register.list())), pages);
    expect(listed).toEqual([{ partition: 'p', erase: 'e1', at: 60, due: 120, deletedAt: undefined }]);
  },
);

it('DynamoDbErasureTables lists its own region first, and each other region with a replica once', async () => {
  const Replicas = ['us-east-1', 'us-west-2', undefined, 'eu-west-1'].map((RegionName) => ({ RegionName }));
  const found: unknown[] = [];
  const answers = { DescribeTable: [{ Table: { Replicas } }, {}] };
  const work = async (tables: DynamoDbErasureTables): Promise<void> => {
    for (let i = 0; i < 2; i += 1) found.push(await tables.regions());
  };
  expect(await requestsOf(work, answers)).toEqual([1, 2].map(() => ['DescribeTable', { TableName }]));
  expect(found).toEqual([['us-west-2', 'us-east-1', 'eu-west-1'], ['us-west-2']]);
});

it("DynamoDbErasureTables reads DynamoDB's clock from the response to a query for the latest System Key", async () => {
  const offsets: unknown[] = [];
  const requests = await requestsOf(async (tables) => void offsets.push(await tables.clockOffsetMs()));
  expect(requests).toEqual([
    [
      'Query',
      {
        TableName,
        KeyConditionExpression: 'Id = :id',
        ExpressionAttributeValues: { ':id': { S: '_SK_svc_prod' } },
        ScanIndexForward: false,
        ConsistentRead: true,
        Limit: 1,
      },
    ],
  ]);
  expect(Math.abs(offsets[0] as number)).toBeLessThan(60_000);
});

it('DynamoDbErasureTables asks for all backups and exports of the table, page by page', async () => {
  const arn = `arn:${'x'.repeat(40)}`;
  const requests = await requestsOf((tables) => tables.copies('us-west-2', 0), {
    DescribeTable: [{ Table: { TableArn: HERE } }],
    ListBackups: [{ LastEvaluatedBackupArn: arn }],
    ListExports: [{ NextToken: 'next' }],
  });
  expect(requests).toEqual([
    ['DescribeTable', { TableName }],
    ['DescribeContinuousBackups', { TableName }],
    ['ListBackups', { TableName, BackupType: 'ALL' }],
    ['ListBackups', { TableName, BackupType: 'ALL', ExclusiveStartBackupArn: arn }],
    ['ListExports', { TableArn: HERE }],
    ['ListExports', { TableArn: HERE, NextToken: 'next' }],
  ]);
});

it('the register of erasures in DynamoDB refuses a second erasure that began in the same second', async () => {
  stub = await startStub(
    { status: 200, body: '{}' },
    { status: 400, body: JSON.stringify({ __type: 'ConditionalCheckFailedException' }) },
  );
  const options = { region: 'us-west-2', endpoint: stub.url, credentials: { accessKeyId: 'a', secretAccessKey: 's' } };
  const { register } = new DynamoDbErasureTables(options, { service: 'svc', product: 'prod' });
  const entry = { partition: 'p' as never, erase: 'e1', at: ROW.created, due: MARK.due };
  expect([await register.add(entry), await register.add(entry)]).toEqual([true, false]);
});
