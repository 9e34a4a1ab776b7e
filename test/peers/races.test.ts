import { DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createKeyTable } from '../../local/dynamodb.ts';
import { DynamoDbMetastore, SessionFactory } from '../../src/index.ts';
import { FakeKms, HandClock } from '../support/fakes.ts';
import { dynamoDbContract } from '../support/contract/dynamodb-contract.ts';
import { startDynamoDbLocal, type PeerServer } from './processes.ts';

const CACHES = 200;
let dynamoDb: PeerServer;

beforeAll(async () => {
  dynamoDb = await startDynamoDbLocal();
});
afterAll(() => dynamoDb.stop());

it("200 caches that encrypt for a new partition at once create one row per key, and read each other's records", async () => {
  const { endpoint } = dynamoDb;
  await createKeyTable(endpoint, 'Race');
  const clock = new HandClock();
  const metastore = new DynamoDbMetastore({
    tableName: 'Race',
    endpoint,
    region: 'us-west-2',
    connectionTimeoutMs: 30_000,
    requestTimeoutMs: 60_000,
  });
  const kms = new FakeKms();
  const factories = Array.from(
    { length: CACHES },
    () => new SessionFactory({ service: 'svc', product: 'prod', metastore, kms, now: clock.now }),
  );
  const records = await Promise.all(factories.map((f, i) => f.session('tenant').encrypt(Buffer.from(`from ${i}`))));

  const client = new DynamoDBClient({ endpoint, region: 'us-west-2' });
  const { Items = [] } = await client.send(new ScanCommand({ TableName: 'Race' }));
  expect(Items).toHaveLength(2);
  expect(new Set(Items.map((item) => item['Id']?.S))).toEqual(new Set(['_IK_tenant_svc_prod', '_SK_svc_prod']));
  for (const factory of factories) {
    const opened = await Promise.all(records.map((record) => factory.session('tenant').decrypt(record)));
    expect(opened.map(String)).toEqual(records.map((_, i) => `from ${i}`));
  }
});

dynamoDbContract('DynamoDB Local', startDynamoDbLocal);
