import {
  DeleteItemCommand,
  DescribeTableCommand,
  paginateQuery,
  paginateScan,
  PutItemCommand,
  UpdateItemCommand,
  type DynamoDBClient,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import { watchClocks } from '../connections/inspected-calls.ts';
import type { EnvelopeKeyRecord, ErasureMark } from '../envelope/ports.ts';
import type {
  ErasureRegister,
  ErasureTable,
  ErasureTables,
  KeyCopy,
  RowSelection,
} from '../maintenance/erasure-table.ts';
import type { KeyRow } from '../maintenance/key-table.ts';
import { KeyNaming, type ServiceNames } from '../records/ids.ts';
import { copiesOf } from './dynamodb-copies.ts';
import { readLatest, rowsFrom, rowsOf, unlessRefused } from './dynamodb-client.ts';
import { DynamoDbErasureRegister } from './dynamodb-erasure-register.ts';
import { Replica } from './dynamodb-replica.ts';
import { keyAttribute, keyOfItem } from './dynamodb-item.ts';
import { encodeMarkedItem, erasedAttribute } from './dynamodb-marks.ts';
import { replicaIn, type DynamoDbMetastoreOptions } from './dynamodb-options.ts';

/** The replicas of a DynamoDB key table, and the erasures of one service. */
export class DynamoDbErasureTables implements ErasureTables {
  readonly register: ErasureRegister;
  readonly #options: DynamoDbMetastoreOptions;
  readonly #systemKeyId: string;
  readonly #own: Replica;

  constructor(options: DynamoDbMetastoreOptions, names: ServiceNames) {
    this.#options = options;
    this.#systemKeyId = new KeyNaming(names).systemKeyId;
    this.#own = new Replica(options);
    this.register = new DynamoDbErasureRegister(options, names);
  }

  async regions(): Promise<readonly string[]> {
    const own = await this.#own.region();
    const { Table } = await this.#own.send((client, TableName) => client.send(new DescribeTableCommand({ TableName })));
    const replicas = (Table?.Replicas ?? []).flatMap(({ RegionName }) => RegionName ?? []);
    return [...new Set([own, ...replicas])];
  }

  async clockOffsetMs(): Promise<number | undefined> {
    return this.#own.send(async (client, TableName) => {
      const offsetMs = watchClocks(client, Date.now);
      // The response to any call shows DynamoDB's clock. Make this call, because every role that makes keys has
      // permission for it.
      await client.send(readLatest(TableName, this.#systemKeyId));
      return offsetMs();
    });
  }

  at(region: string): ErasureTable {
    return new DynamoDbErasureTable(this.#replicaIn(region));
  }

  async copies(region: string, existedAt: number): Promise<KeyCopy[]> {
    return this.#replicaIn(region).send((client, tableName) => copiesOf(client, tableName, region, existedAt));
  }

  #replicaIn(region: string): Replica {
    return new Replica(replicaIn(region, this.#options));
  }
}

class DynamoDbErasureTable implements ErasureTable {
  readonly #replica: Replica;

  constructor(replica: Replica) {
    this.#replica = replica;
  }

  async rows(selection: RowSelection): Promise<KeyRow[]> {
    return this.#replica.send((client, tableName) => {
      if ('id' in selection) return rowsFrom(paginateQuery({ client }, rowsOf(tableName, selection.id)));
      const values = Object.fromEntries(selection.prefixes.map((prefix, i) => [`:p${i}`, { S: prefix }]));
      return rowsFrom(
        paginateScan(
          { client },
          {
            TableName: tableName,
            ConsistentRead: true,
            FilterExpression: Object.keys(values)
              .map((name) => `begins_with(Id, ${name})`)
              .join(' OR '),
            ExpressionAttributeValues: values,
          },
        ),
      );
    });
  }

  async store(record: EnvelopeKeyRecord, replaced?: KeyRow): Promise<void> {
    const condition =
      replaced === undefined ? { ConditionExpression: 'attribute_not_exists(Id)' } : unchangedRow(replaced);
    const put = { Item: encodeMarkedItem(record), ...condition };
    await this.#write((client, TableName) => client.send(new PutItemCommand({ TableName, ...put })));
  }

  async mark(row: EnvelopeKeyRecord, mark: ErasureMark | undefined): Promise<void> {
    const { ConditionExpression, ExpressionAttributeNames, ExpressionAttributeValues } = unchanged(row);
    const change = {
      Key: keyOfItem(row.id, row.created),
      UpdateExpression: mark === undefined ? 'REMOVE Erased' : 'SET Erased = :mark, KeyRecord.Revoked = :true',
      ConditionExpression,
      ExpressionAttributeNames,
      ExpressionAttributeValues: {
        ...ExpressionAttributeValues,
        ...(mark && { ':mark': erasedAttribute(mark), ':true': { BOOL: true } }),
      },
    };
    await this.#write((client, TableName) => client.send(new UpdateItemCommand({ TableName, ...change })));
  }

  async remove(row: KeyRow): Promise<void> {
    const created = row.created ?? ('unreadable' in row ? row.rawCreated : undefined);
    if (created === undefined) return;
    const deletion = { Key: keyOfItem(row.id, created), ...unchangedRow(row) };
    await this.#write((client, TableName) => client.send(new DeleteItemCommand({ TableName, ...deletion })));
  }

  /** Writes a row, unless it has changed since it was read. */
  async #write(write: (client: DynamoDBClient, tableName: string) => Promise<unknown>): Promise<void> {
    await this.#replica.send((client, tableName) => unlessRefused(write(client, tableName), undefined, undefined));
  }
}

/** The condition that a row has not changed since it was read. For a row that could not be parsed, that it exists. */
function unchangedRow(row: KeyRow): Partial<ReturnType<typeof unchanged>> {
  return 'unreadable' in row ? { ConditionExpression: 'attribute_exists(Id)' } : unchanged(row);
}

/** The condition that a row's sealed key and mark have not changed since the row was read. */
function unchanged({
  encryptedKey,
  erased,
}: EnvelopeKeyRecord): Required<
  Pick<UpdateItemCommandInput, 'ConditionExpression' | 'ExpressionAttributeNames' | 'ExpressionAttributeValues'>
> {
  const isMalformed = erased?.erase === '';
  const isNamed = erased !== undefined && !isMalformed;
  const ofMark = isMalformed ? 'attribute_exists(Erased)' : 'attribute_not_exists(Erased)';
  return {
    ConditionExpression: `KeyRecord.#key = :key AND ${isNamed ? 'Erased.#erase = :erase' : ofMark}`,
    ExpressionAttributeNames: { '#key': 'Key', ...(isNamed && { '#erase': 'Erase' }) },
    ExpressionAttributeValues: {
      ':key': keyAttribute(encryptedKey),
      ...(isNamed && { ':erase': { S: erased.erase } }),
    },
  };
}
