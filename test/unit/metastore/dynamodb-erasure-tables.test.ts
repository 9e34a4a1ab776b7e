import { afterEach, expect, it, vi } from 'vitest';
import { DynamoDbErasureTables } from '../../../src/metastore/dynamodb-erasure-tables.ts';
import { startStub, type StubServer } from '../../support/stub-server.ts';

const HERE = 'arn:aws:dynamodb:us-west-2:111122223333:table/EncryptionKey';
let stub: StubServer;

afterEach(async () => {
  vi.unstubAllEnvs();
  await stub.stop();
});

it.for([
  ['the ARN of that replica', HERE, HERE.replace('us-west-2', 'us-east-1')],
  ['the name of the table', 'EncryptionKey', 'EncryptionKey'],
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
