import {
  DescribeContinuousBackupsCommand,
  DescribeTableCommand,
  ListBackupsCommand,
  ListExportsCommand,
  type DynamoDBClient,
} from '@aws-sdk/client-dynamodb';
import type { KeyCopy } from '../maintenance/erasure-table.ts';

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 24 * HOUR_SECONDS;
/** DynamoDB's default for `RecoveryPeriodInDays`. */
const DEFAULT_RECOVERY_DAYS = 35;
/**
 * How far the operator's clock may be behind DynamoDB's clock. The operator's clock dates the deletion, and DynamoDB's
 * clock dates the backups.
 */
const MAX_SKEW_SECONDS = 300;
/** How long a stream keeps the old images of deleted rows. */
const STREAM_HOURS = 24;

/**
 * Lists DynamoDB's copies of the rows that existed at a given time: point-in-time recovery, the stream, DynamoDB's own
 * backups, and the exports of the last 90 days. According to AWS, ListBackups does not return backups of AWS Backup.
 * @param existedAt in seconds since 1970
 * @throws errors of the AWS SDK
 */
export async function copiesOf(
  client: DynamoDBClient,
  tableName: string,
  region: string,
  existedAt: number,
): Promise<KeyCopy[]> {
  const { Table } = await client.send(new DescribeTableCommand({ TableName: tableName }));
  const isStreamed = Table?.StreamSpecification?.StreamEnabled === true;
  const stream: KeyCopy = {
    kind: 'stream',
    region,
    text: `the stream keeps old images for ${STREAM_HOURS} hours`,
    until: existedAt + STREAM_HOURS * HOUR_SECONDS,
  };
  return [
    ...(await recoveryOf(client, tableName, region, existedAt)),
    ...(isStreamed ? [stream] : []),
    ...(await backupsOf(client, tableName, region, existedAt)),
    ...(await exportsOf(client, Table?.TableArn, region)),
  ];
}

async function recoveryOf(
  client: DynamoDBClient,
  tableName: string,
  region: string,
  existedAt: number,
): Promise<KeyCopy[]> {
  const answer = await client.send(new DescribeContinuousBackupsCommand({ TableName: tableName }));
  const { PointInTimeRecoveryStatus: status, RecoveryPeriodInDays: days = DEFAULT_RECOVERY_DAYS } =
    answer.ContinuousBackupsDescription?.PointInTimeRecoveryDescription ?? {};
  if (status !== 'ENABLED') return [];
  const text = `point-in-time recovery goes back ${days} days`;
  return [{ kind: 'point-in-time-recovery', region, text, until: existedAt + days * DAY_SECONDS }];
}

async function backupsOf(
  client: DynamoDBClient,
  tableName: string,
  region: string,
  existedAt: number,
): Promise<KeyCopy[]> {
  const copies: KeyCopy[] = [];
  let last: string | undefined;
  do {
    const command = new ListBackupsCommand({ TableName: tableName, BackupType: 'ALL', ExclusiveStartBackupArn: last });
    const page = await client.send(command);
    for (const { BackupName: name, BackupType: type, ...dates } of page.BackupSummaries ?? []) {
      if (secondsOf(dates.BackupCreationDateTime) > existedAt + MAX_SKEW_SECONDS) continue;
      const until = dates.BackupExpiryDateTime && secondsOf(dates.BackupExpiryDateTime);
      copies.push({ kind: 'backup', region, text: `backup ${name ?? '?'} (${type ?? '?'})`, until });
    }
    last = page.LastEvaluatedBackupArn;
  } while (last !== undefined);
  return copies;
}

async function exportsOf(client: DynamoDBClient, tableArn: string | undefined, region: string): Promise<KeyCopy[]> {
  const copies: KeyCopy[] = [];
  let next: string | undefined;
  do {
    const page = await client.send(new ListExportsCommand({ TableArn: tableArn, NextToken: next }));
    for (const { ExportArn: arn } of page.ExportSummaries ?? []) {
      copies.push({ kind: 'export', region, text: `the objects in S3 of export ${arn ?? '?'}` });
    }
    next = page.NextToken;
  } while (next !== undefined);
  return copies;
}

/** Returns 0 if there is no date, so that the list includes a copy of unknown age. */
function secondsOf(date: Date | undefined): number {
  return Math.floor((date?.getTime() ?? 0) / 1000);
}
