import { paginateQuery, paginateScan, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';
import type { KeyMeta } from '../records/ids.ts';
import type { KeyRow, KeyTable, TablePlace } from '../maintenance/key-table.ts';
import { readLatest, readOne, rowsOf, unlessRefused } from './dynamodb-client.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';
import { isPossibleKey, keyAttribute, keyOfItem, readKeyItem } from './dynamodb-item.ts';
import { Replica } from './dynamodb-replica.ts';

/** An operator's access to a DynamoDB key table with Asherah's schema. */
export class DynamoDbKeyTable implements KeyTable {
  readonly #replica: Replica;

  constructor(options: DynamoDbMetastoreOptions) {
    this.#replica = new Replica(options);
  }

  async place(): Promise<TablePlace> {
    return { table: this.#replica.tableName, region: await this.#replica.region() };
  }

  async find(id: string, created: number | 'latest'): Promise<KeyRow | undefined> {
    if (!isPossibleKey(id, created === 'latest' ? 0 : created)) return undefined;
    const item = await this.#replica.send(async (client, tableName) => {
      if (created !== 'latest') return (await client.send(readOne(tableName, id, created))).Item;
      return (await client.send(readLatest(tableName, id))).Items?.[0];
    });
    return item && readKeyItem(item);
  }

  async list(id?: string): Promise<KeyRow[]> {
    const rows: KeyRow[] = [];
    for await (const row of this.scan(id)) rows.push(row);
    return rows;
  }

  async *scan(id?: string): AsyncGenerator<KeyRow> {
    if (id !== undefined && !isPossibleKey(id, 0)) return;
    const items = this.#replica.items((config, tableName) =>
      id === undefined
        ? paginateScan(config, { TableName: tableName, ConsistentRead: true })
        : paginateQuery(config, rowsOf(tableName, id)),
    );
    for await (const item of items) yield readKeyItem(item);
  }

  async revoke({ id, created }: KeyMeta): Promise<'revoked' | 'absent'> {
    const change = {
      Key: keyOfItem(id, created),
      UpdateExpression: 'SET KeyRecord.Revoked = :true',
      ConditionExpression: 'attribute_exists(Id)',
      ExpressionAttributeValues: { ':true': { BOOL: true } },
    };
    return this.#replica.send((client, TableName) =>
      unlessRefused(client.send(new UpdateItemCommand({ TableName, ...change })), 'revoked', 'absent'),
    );
  }

  async prove({ id, created, encryptedKey }: EnvelopeKeyRecord, proof: Uint8Array): Promise<'proven' | 'changed'> {
    const change = {
      Key: keyOfItem(id, created),
      UpdateExpression: 'SET Proof = :proof',
      ConditionExpression: 'attribute_not_exists(Proof) AND KeyRecord.#key = :key',
      ExpressionAttributeNames: { '#key': 'Key' },
      ExpressionAttributeValues: { ':proof': { B: proof }, ':key': keyAttribute(encryptedKey) },
    };
    return this.#replica.send((client, TableName) =>
      unlessRefused(client.send(new UpdateItemCommand({ TableName, ...change })), 'proven', 'changed'),
    );
  }
}
