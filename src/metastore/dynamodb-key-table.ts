import { paginateQuery, paginateScan, UpdateItemCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { callFaultOf, faultText } from '../connections/call-fault.ts';
import { invalidConfiguration } from '../errors.ts';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';
import type { KeyMeta } from '../records/ids.ts';
import type { KeyRow, KeyTable, TablePlace } from '../maintenance/key-table.ts';
import {
  dynamoDbClient,
  metastoreUnavailable,
  readLatest,
  readOne,
  revocationOf,
  rowsOf,
  unlessRefused,
} from './dynamodb-client.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';
import { isPossibleKey, keyAttribute, keyOfItem, readKeyItem } from './dynamodb-item.ts';

/** An operator's access to a DynamoDB key table with Asherah's schema. */
export class DynamoDbKeyTable implements KeyTable {
  readonly #client: DynamoDBClient;
  readonly #tableName: string;

  constructor(options: DynamoDbMetastoreOptions) {
    const { tableName, client } = dynamoDbClient(options);
    this.#tableName = tableName;
    this.#client = client;
  }

  async place(): Promise<TablePlace> {
    try {
      return { table: this.#tableName, region: await this.#client.config.region() };
    } catch {
      throw invalidConfiguration(['no region is set: --region, KEYFOLD_DYNAMODB_REGION or AWS_REGION']);
    }
  }

  async find(id: string, created: number | 'latest'): Promise<KeyRow | undefined> {
    if (!isPossibleKey(id, created === 'latest' ? 0 : created)) return undefined;
    const item = await this.#call(async () => {
      if (created !== 'latest') return (await this.#client.send(readOne(this.#tableName, id, created))).Item;
      return (await this.#client.send(readLatest(this.#tableName, id))).Items?.[0];
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
    const config = { client: this.#client };
    const pages =
      id === undefined
        ? paginateScan(config, { TableName: this.#tableName, ConsistentRead: true })
        : paginateQuery(config, rowsOf(this.#tableName, id));
    for (;;) {
      const page = await this.#call(() => pages.next());
      if (page.done === true) return;
      for (const item of page.value.Items ?? []) yield readKeyItem(item);
    }
  }

  async revoke({ id, created }: KeyMeta): Promise<'revoked' | 'absent'> {
    const command = revocationOf(this.#tableName, id, created);
    return this.#call(() => unlessRefused(this.#client.send(command), 'revoked', 'absent'));
  }

  async prove({ id, created, encryptedKey }: EnvelopeKeyRecord, proof: Uint8Array): Promise<'proven' | 'changed'> {
    const command = new UpdateItemCommand({
      TableName: this.#tableName,
      Key: keyOfItem(id, created),
      UpdateExpression: 'SET Proof = :proof',
      ConditionExpression: 'attribute_not_exists(Proof) AND KeyRecord.#key = :key',
      ExpressionAttributeNames: { '#key': 'Key' },
      ExpressionAttributeValues: { ':proof': { B: proof }, ':key': keyAttribute(encryptedKey) },
    });
    return this.#call(() => unlessRefused(this.#client.send(command), 'proven', 'changed'));
  }

  async #call<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw await metastoreUnavailable(this.#client, this.#tableName, faultText(callFaultOf(error)));
    }
  }
}
