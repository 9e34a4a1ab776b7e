import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { copiesOf } from '../../../src/metastore/dynamodb-copies.ts';
import { DynamoDbProxy } from '../../support/dynamodb-proxy.ts';

const DAY = 86_400;
const DELETED = 1_800_000_000;
const region = 'us-west-2';

let dynamoDb: LocalDynamoDb;
let proxy: DynamoDbProxy;
/** The requests of the last list. */
let sent: () => object[];

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
  proxy = await DynamoDbProxy.start(dynamoDb.endpoint);
});
afterAll(async () => {
  await proxy.stop();
  await dynamoDb.close();
});

/** Lists the copies of a table. For each action, DynamoDB returns these responses in order. */
function copies(answers: Record<string, object[]>): ReturnType<typeof copiesOf> {
  const given: Record<string, object[]> = {
    DescribeTable: [{ Table: { TableArn: 'arn:aws:dynamodb:us-west-2:111122223333:table/EncryptionKey' } }],
    DescribeContinuousBackups: [{}],
    ListBackups: [{}],
    ListExports: [{}],
    ...answers,
  };
  proxy.answerOf = (action) => given[action]?.shift() ?? {};
  const client = new DynamoDBClient({ endpoint: proxy.endpoint, region });
  const send = vi.spyOn(client, 'send');
  sent = () => send.mock.calls.map(([{ input }]) => input);
  return copiesOf(client, 'EncryptionKey', region, DELETED);
}

const recovery = (PointInTimeRecoveryDescription: object): object => ({
  ContinuousBackupsDescription: { ContinuousBackupsStatus: 'ENABLED', PointInTimeRecoveryDescription },
});

it('a table without point-in-time recovery, a stream, backups or exports has no copies', async () => {
  expect(await copies({})).toEqual([]);
  const off = recovery({ PointInTimeRecoveryStatus: 'DISABLED', RecoveryPeriodInDays: 35 });
  expect(await copies({ DescribeContinuousBackups: [off] })).toEqual([]);
});

it('point-in-time recovery counts as a copy for its recovery period, and a stream counts for one day', async () => {
  const own = recovery({ PointInTimeRecoveryStatus: 'ENABLED', RecoveryPeriodInDays: 7 });
  expect(await copies({ DescribeContinuousBackups: [own] })).toEqual([
    {
      kind: 'point-in-time-recovery',
      region,
      text: 'point-in-time recovery goes back 7 days',
      until: DELETED + 7 * DAY,
    },
  ]);
  const byDefault = await copies({
    DescribeContinuousBackups: [recovery({ PointInTimeRecoveryStatus: 'ENABLED' })],
    DescribeTable: [{ Table: { StreamSpecification: { StreamEnabled: true } } }],
  });
  expect(byDefault).toEqual([
    {
      kind: 'point-in-time-recovery',
      region,
      text: 'point-in-time recovery goes back 35 days',
      until: DELETED + 35 * DAY,
    },
    { kind: 'stream', region, text: 'the stream keeps old images for 24 hours', until: DELETED + DAY },
  ]);
});

function backup(BackupName: string, madeAt: number, endsAt?: number): object {
  return {
    BackupName,
    BackupType: 'AWS_BACKUP',
    BackupCreationDateTime: madeAt,
    ...(endsAt !== undefined && { BackupExpiryDateTime: endsAt }),
  };
}

it('backups on every page count as copies unless they were made after the deletion', async () => {
  const first = { BackupSummaries: [backup('old', DELETED)], LastEvaluatedBackupArn: `arn:${'x'.repeat(40)}` };
  const second = { BackupSummaries: [backup('new', DELETED + 301), backup('ends', 1, DELETED + 5)] };
  expect(await copies({ ListBackups: [first, second] })).toEqual([
    { kind: 'backup', region, text: 'backup old (AWS_BACKUP)', until: undefined },
    { kind: 'backup', region, text: 'backup ends (AWS_BACKUP)', until: DELETED + 5 },
  ]);
  const TableName = 'EncryptionKey';
  const backups = { TableName, BackupType: 'ALL' };
  expect(sent()).toEqual([
    { TableName },
    { TableName },
    { ...backups, ExclusiveStartBackupArn: undefined },
    { ...backups, ExclusiveStartBackupArn: `arn:${'x'.repeat(40)}` },
    { TableArn: 'arn:aws:dynamodb:us-west-2:111122223333:table/EncryptionKey' },
  ]);
});

it('a backup counts as a copy if it was made up to 300 seconds after the deletion', async () => {
  const pages = [{ BackupSummaries: [backup('seconds after', DELETED + 300)] }];
  expect((await copies({ ListBackups: pages })).map(({ text }) => text)).toEqual(['backup seconds after (AWS_BACKUP)']);
});

it('backups and exports count as copies even if DynamoDB lists them without any details', async () => {
  expect(await copies({ ListBackups: [{ BackupSummaries: [{}] }], ListExports: [{ ExportSummaries: [{}] }] })).toEqual([
    { kind: 'backup', region, text: 'backup ? (?)', until: undefined },
    { kind: 'export', region, text: 'the objects in S3 of export ?' },
  ]);
});

it('exports count as copies until an operator deletes their objects', async () => {
  const pages = [{ ExportSummaries: [{ ExportArn: 'a' }], NextToken: 'n' }, { ExportSummaries: [{ ExportArn: 'b' }] }];
  expect(await copies({ ListExports: pages })).toEqual([
    { kind: 'export', region, text: 'the objects in S3 of export a' },
    { kind: 'export', region, text: 'the objects in S3 of export b' },
  ]);
  const TableArn = 'arn:aws:dynamodb:us-west-2:111122223333:table/EncryptionKey';
  expect(sent().slice(-2)).toEqual([{ TableArn }, { TableArn, NextToken: 'n' }]);
});
