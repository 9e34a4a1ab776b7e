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
import { errorNameOf, invalidConfiguration } from '../errors.ts';
import type { EnvelopeKeyRecord, ErasureMark } from '../envelope/ports.ts';
import type {
  ErasureRegister,
  ErasureTable,
  ErasureTables,
  KeyCopy,
  RegisteredErasure,
  RowSelection,
} from '../maintenance/erasure-table.ts';
import type { KeyRow } from '../maintenance/key-table.ts';
import { registerIdOf, type ServiceNames } from '../records/ids.ts';
import { copiesOf } from './dynamodb-copies.ts';
import { dynamoDbClient, metastoreUnavailable, rowsFrom, rowsOf, unlessRefused } from './dynamodb-client.ts';
import {
  encodeKeyItem,
  encodeRegisterItem,
  erasedAttribute,
  keyAttribute,
  keyOfItem,
  readRegisterItem,
} from './dynamodb-item.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';

/** The replicas of a DynamoDB key table, and the erasures of one service. */
export class DynamoDbErasureTables implements ErasureTables {
  readonly register: ErasureRegister;
  readonly #options: DynamoDbMetastoreOptions;
  readonly #own: Replica;

  constructor(options: DynamoDbMetastoreOptions, names: ServiceNames) {
    this.#options = options;
    this.#own = new Replica(options);
    this.register = new DynamoDbErasureRegister(this.#own, registerIdOf(names));
  }

  async regions(): Promise<readonly string[]> {
    const own = await this.#own.region();
    const { Table } = await this.#own.send((client, TableName) => client.send(new DescribeTableCommand({ TableName })));
    const replicas = (Table?.Replicas ?? []).flatMap(({ RegionName }) => RegionName ?? []);
    return [...new Set([own, ...replicas])];
  }

  at(region: string): ErasureTable {
    return new DynamoDbErasureTable(new Replica({ ...this.#options, region }));
  }

  async copies(region: string, existedAt: number): Promise<KeyCopy[]> {
    const replica = new Replica({ ...this.#options, region });
    return replica.send((client, tableName) => copiesOf(client, tableName, region, existedAt));
  }
}

/** The key table in one region. Its calls throw `MetastoreUnavailable` if DynamoDB refuses or fails. */
class Replica {
  readonly #client: DynamoDBClient;
  readonly #tableName: string;

  constructor(options: DynamoDbMetastoreOptions) {
    const { tableName, client } = dynamoDbClient(options);
    this.#tableName = tableName;
    this.#client = client;
  }

  async region(): Promise<string> {
    try {
      return await this.#client.config.region();
    } catch {
      throw invalidConfiguration(['no region is set: --region, KEYFOLD_DYNAMODB_REGION or AWS_REGION']);
    }
  }

  async send<T>(call: (client: DynamoDBClient, tableName: string) => Promise<T>): Promise<T> {
    try {
      return await call(this.#client, this.#tableName);
    } catch (error) {
      throw metastoreUnavailable(this.#tableName, errorNameOf(error));
    }
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

  async store(record: EnvelopeKeyRecord): Promise<boolean> {
    const put = { Item: encodeKeyItem(record), ConditionExpression: 'attribute_not_exists(Id)' };
    return this.#replica.send((client, TableName) =>
      unlessRefused(client.send(new PutItemCommand({ TableName, ...put })), true, false),
    );
  }

  async mark(row: EnvelopeKeyRecord, mark: ErasureMark | undefined): Promise<boolean> {
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
    return this.#replica.send((client, TableName) =>
      unlessRefused(client.send(new UpdateItemCommand({ TableName, ...change })), true, false),
    );
  }

  async remove(row: KeyRow): Promise<boolean> {
    const { id, created } = row;
    if (created === undefined) return false;
    const condition = 'unreadable' in row ? { ConditionExpression: 'attribute_exists(Id)' } : unchanged(row);
    const deletion = { Key: keyOfItem(id, created), ...condition };
    return this.#replica.send((client, TableName) =>
      unlessRefused(client.send(new DeleteItemCommand({ TableName, ...deletion })), true, false),
    );
  }
}

/** The condition that a row has the sealed key and the mark that it had when it was read. */
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

class DynamoDbErasureRegister implements ErasureRegister {
  readonly #replica: Replica;
  readonly #id: string;

  constructor(replica: Replica, id: string) {
    this.#replica = replica;
    this.#id = id;
  }

  async list(): Promise<RegisteredErasure[]> {
    return this.#replica.send(async (client, tableName) => {
      const entries: RegisteredErasure[] = [];
      for await (const { Items: items = [] } of paginateQuery({ client }, rowsOf(tableName, this.#id))) {
        entries.push(...items.flatMap((item) => readRegisterItem(item) ?? []));
      }
      return entries;
    });
  }

  async add(entry: RegisteredErasure): Promise<boolean> {
    const put = { Item: encodeRegisterItem(this.#id, entry), ConditionExpression: 'attribute_not_exists(Id)' };
    return this.#replica.send((client, TableName) =>
      unlessRefused(client.send(new PutItemCommand({ TableName, ...put })), true, false),
    );
  }

  async update(entry: RegisteredErasure): Promise<void> {
    const put = { Item: encodeRegisterItem(this.#id, entry), ConditionExpression: 'attribute_exists(Id)' };
    await this.#replica.send((client, TableName) =>
      unlessRefused(client.send(new PutItemCommand({ TableName, ...put })), true, false),
    );
  }

  async remove({ at }: RegisteredErasure): Promise<void> {
    const Key = keyOfItem(this.#id, at);
    await this.#replica.send((client, TableName) => client.send(new DeleteItemCommand({ TableName, Key })));
  }
}
