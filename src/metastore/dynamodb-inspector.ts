import {
  DescribeContinuousBackupsCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  type DynamoDBClient,
  type TableDescription as SdkTable,
} from '@aws-sdk/client-dynamodb';
import type { Clock } from '../async/clock.ts';
import { outcomeOf, watchClocks, type Outcome } from '../connections/inspected-calls.ts';
import type { TableDescription, TableInspector } from '../maintenance/inspection.ts';
import { dynamoDbClient } from './dynamodb-client.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';

/** DynamoDB's longest period for point-in-time recovery, which is also the default. */
const DEFAULT_RECOVERY_DAYS = 35;

/** Inspects a DynamoDB table for an operator. */
export class DynamoDbInspector implements TableInspector {
  readonly clockOffsetMs: () => number | undefined;
  readonly #client: DynamoDBClient;
  readonly #tableName: string;

  constructor(options: DynamoDbMetastoreOptions, now: Clock) {
    const { tableName, client } = dynamoDbClient(options);
    this.#tableName = tableName;
    this.#client = client;
    this.clockOffsetMs = watchClocks(client, now);
  }

  describe(): Promise<Outcome<TableDescription>> {
    return outcomeOf(async () => {
      const { Table } = await this.#client.send(new DescribeTableCommand({ TableName: this.#tableName }));
      return descriptionOf(Table ?? {});
    });
  }

  recoveryDays(): Promise<Outcome<number | undefined>> {
    return outcomeOf(async () => {
      const command = new DescribeContinuousBackupsCommand({ TableName: this.#tableName });
      const { ContinuousBackupsDescription: backups } = await this.#client.send(command);
      const recovery = backups?.PointInTimeRecoveryDescription;
      if (recovery?.PointInTimeRecoveryStatus !== 'ENABLED') return undefined;
      return recovery.RecoveryPeriodInDays ?? DEFAULT_RECOVERY_DAYS;
    });
  }

  expiryAttribute(): Promise<Outcome<string | undefined>> {
    return outcomeOf(async () => {
      const command = new DescribeTimeToLiveCommand({ TableName: this.#tableName });
      const { TimeToLiveDescription: expiry } = await this.#client.send(command);
      return expiry?.TimeToLiveStatus?.startsWith('ENABL') === true ? (expiry.AttributeName ?? '?') : undefined;
    });
  }

  credentialsEndAtMs(): Promise<Outcome<number | undefined>> {
    return outcomeOf(async () => (await this.#client.config.credentials()).expiration?.getTime());
  }
}

function descriptionOf(table: SdkTable): TableDescription {
  const { SSEDescription: sse } = table;
  const typeOf = (name = ''): string =>
    table.AttributeDefinitions?.find(({ AttributeName }) => AttributeName === name)?.AttributeType ?? '?';
  return {
    arn: table.TableArn ?? '',
    status: table.TableStatus ?? 'unknown',
    schema: (table.KeySchema ?? []).map((key) => `${key.AttributeName} ${typeOf(key.AttributeName)} ${key.KeyType}`),
    isDeletionProtected: table.DeletionProtectionEnabled === true,
    encryption:
      sse?.KMSMasterKeyArn === undefined
        ? undefined
        : { keyArn: sse.KMSMasterKeyArn, inaccessible: sse.InaccessibleEncryptionDateTime !== undefined },
    capacity: capacityOf(table),
    rows: table.ItemCount ?? 0,
    replicas: (table.Replicas ?? []).map((replica) => ({
      region: replica.RegionName ?? '?',
      status: replica.ReplicaStatus ?? 'unknown',
    })),
  };
}

function capacityOf({ ProvisionedThroughput: set, OnDemandThroughput: most }: SdkTable): TableDescription['capacity'] {
  return {
    reads: firstLimit(set?.ReadCapacityUnits, most?.MaxReadRequestUnits),
    writes: firstLimit(set?.WriteCapacityUnits, most?.MaxWriteRequestUnits),
  };
}

/**
 * Returns the first of these numbers that is a limit. Zero and -1 are not limits: DynamoDB returns zero as the
 * provisioned capacity of an on-demand table, and -1 as a maximum that has been removed.
 */
function firstLimit(...units: readonly (number | undefined)[]): number | undefined {
  return units.find((each) => each !== undefined && each > 0);
}
