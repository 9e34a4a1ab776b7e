import { afterEach, expect, it } from 'vitest';
import { DynamoDbInspector } from '../../../src/metastore/dynamodb-inspector.ts';
import { startStub, type StubServer } from '../../support/stub-server.ts';

let stub: StubServer;

afterEach(() => stub.stop());

/** An inspector of a table at a stub server, which gives this response to every call. */
async function inspectorOf(answer: object): Promise<DynamoDbInspector> {
  stub = await startStub({ status: 200, body: JSON.stringify(answer) });
  const credentials = { accessKeyId: 'a', secretAccessKey: 's', expiration: new Date(90_000) };
  const options = { tableName: 'Keys', region: 'us-west-2', endpoint: stub.url, credentials: async () => credentials };
  return new DynamoDbInspector(options, Date.now);
}

/** The calls at the stub server, each as its action and body. */
function calls(): unknown[] {
  return stub.requests.map(({ headers, body }) => [String(headers['x-amz-target']).split('.')[1], JSON.parse(body)]);
}

it('DynamoDbInspector describes a table with everything that an operator checks', async () => {
  const inspector = await inspectorOf({
    Table: {
      TableArn: 'arn',
      TableStatus: 'ACTIVE',
      KeySchema: [
        { AttributeName: 'Id', KeyType: 'HASH' },
        { AttributeName: 'Created', KeyType: 'RANGE' },
      ],
      AttributeDefinitions: [
        { AttributeName: 'Created', AttributeType: 'N' },
        { AttributeName: 'Id', AttributeType: 'S' },
      ],
      DeletionProtectionEnabled: true,
      SSEDescription: { KMSMasterKeyArn: 'key', InaccessibleEncryptionDateTime: 1_790_000_000 },
      ProvisionedThroughput: { ReadCapacityUnits: 7, WriteCapacityUnits: 0 },
      OnDemandThroughput: { MaxReadRequestUnits: 8, MaxWriteRequestUnits: -1 },
      ItemCount: 3,
      Replicas: [{ RegionName: 'us-east-1', ReplicaStatus: 'CREATING' }, {}],
    },
  });
  expect(await inspector.describe()).toEqual({
    latencyMs: expect.any(Number) as number,
    answer: {
      arn: 'arn',
      status: 'ACTIVE',
      schema: ['Id S HASH', 'Created N RANGE'],
      isDeletionProtected: true,
      encryption: { keyArn: 'key', inaccessible: true },
      capacity: { reads: 7, writes: undefined },
      rows: 3,
      replicas: [
        { region: 'us-east-1', status: 'CREATING' },
        { region: '?', status: 'unknown' },
      ],
    },
  });
  expect(calls()).toEqual([['DescribeTable', { TableName: 'Keys' }]]);
  expect(await inspector.credentialsEndAtMs()).toMatchObject({ answer: 90_000 });
});

it('DynamoDbInspector describes a table even if the response of DynamoDB is empty', async () => {
  const inspector = await inspectorOf({});
  expect(await inspector.describe()).toEqual({
    latencyMs: expect.any(Number) as number,
    answer: {
      arn: '',
      status: 'unknown',
      schema: [],
      isDeletionProtected: false,
      encryption: undefined,
      capacity: { reads: undefined, writes: undefined },
      rows: 0,
      replicas: [],
    },
  });
  expect(await inspector.recoveryDays()).toMatchObject({ answer: undefined });
  expect(await inspector.expiryAttribute()).toMatchObject({ answer: undefined });
});

it.for([
  [{ PointInTimeRecoveryStatus: 'ENABLED', RecoveryPeriodInDays: 7 }, 7],
  [{ PointInTimeRecoveryStatus: 'ENABLED' }, 35],
  [{ PointInTimeRecoveryStatus: 'DISABLED', RecoveryPeriodInDays: 7 }, undefined],
] as const)('DynamoDbInspector reads the recovery period of %j as %s', async ([recovery, days]) => {
  const inspector = await inspectorOf({
    ContinuousBackupsDescription: { ContinuousBackupsStatus: 'ENABLED', PointInTimeRecoveryDescription: recovery },
  });
  expect(await inspector.recoveryDays()).toMatchObject({ answer: days });
  expect(calls()).toEqual([['DescribeContinuousBackups', { TableName: 'Keys' }]]);
});

it.for([
  [{ TimeToLiveStatus: 'ENABLED', AttributeName: 'Ends' }, 'Ends'],
  [{ TimeToLiveStatus: 'ENABLING' }, '?'],
  [{ AttributeName: 'Ends' }, undefined],
  [{ TimeToLiveStatus: 'DISABLING', AttributeName: 'Ends' }, undefined],
] as const)('DynamoDbInspector reads the expiry attribute of %j as %s', async ([TimeToLiveDescription, attribute]) => {
  const inspector = await inspectorOf({ TimeToLiveDescription });
  expect(await inspector.expiryAttribute()).toMatchObject({ answer: attribute });
  expect(calls()).toEqual([['DescribeTimeToLive', { TableName: 'Keys' }]]);
});
