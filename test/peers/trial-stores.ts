import {
  BatchWriteItemCommand,
  DynamoDBClient,
  PutItemCommand,
  paginateScan,
  type AttributeValue,
} from '@aws-sdk/client-dynamodb';
import { Pool } from 'pg';
import { createKeyTable } from '../../local/dynamodb.ts';
import { LOCAL_CREDENTIALS } from '../support/local-credentials.ts';
import type { TrialStore } from '../support/reencryption-trial.ts';
import { startPostgres } from './databases.ts';
import { startDynamoDbLocal } from './processes.ts';
import { createRowsTable } from '../support/rows-table.ts';

/** A store for a trial, on its own server. */
export interface ServedStore {
  readonly store: TrialStore;
  /** The endpoint of the DynamoDB Local server that contains the key table. */
  readonly keyTable: string;
  readonly stop: () => Promise<void>;
}

const TableName = 'Customers';
/** The maximum number of items in one request. */
const BATCH_ITEMS = 25;

function itemOf(id: string, text: string): Record<string, AttributeValue> {
  return { id: { S: id }, card: { S: text } };
}

/** Starts DynamoDB Local with the key table and a table with rows. */
export async function startDynamoDbStore(): Promise<ServedStore & { readonly client: DynamoDBClient }> {
  const server = await startDynamoDbLocal();
  const { endpoint } = server;
  await createKeyTable(endpoint, 'EncryptionKey');
  const client = new DynamoDBClient({ endpoint, region: 'us-west-2', credentials: LOCAL_CREDENTIALS });
  await createRowsTable(client, TableName);
  return {
    client,
    keyTable: endpoint,
    stop: async () => {
      client.destroy();
      await server.stop();
    },
    store: {
      source: `dynamodb:${TableName}`,
      add: async (rows) => {
        const batches = Array.from({ length: Math.ceil(rows.length / BATCH_ITEMS) }, (_, i) =>
          rows.slice(i * BATCH_ITEMS, (i + 1) * BATCH_ITEMS),
        );
        await Promise.all(
          batches.map((batch) => {
            const puts = batch.map(([id, text]) => ({ PutRequest: { Item: itemOf(id, text) } }));
            return client.send(new BatchWriteItemCommand({ RequestItems: { [TableName]: puts } }));
          }),
        );
      },
      write: async (id, text) => {
        await client.send(new PutItemCommand({ TableName, Item: itemOf(id, text) }));
      },
      read: async function* () {
        for await (const { Items = [] } of paginateScan({ client }, { TableName, ConsistentRead: true })) {
          for (const { id, card } of Items) yield [id?.S ?? '', card?.S ?? ''];
        }
      },
    },
  };
}

/** Starts PostgreSQL with a table with rows, and DynamoDB Local with the key table. */
export async function startPostgresStore(): Promise<ServedStore & { readonly url: string; readonly pool: Pool }> {
  const [server, keys] = await Promise.all([startPostgres(), startDynamoDbLocal()]);
  await createKeyTable(keys.endpoint, 'EncryptionKey');
  const url = `postgres://keyfold@127.0.0.1:${server.port}/postgres`;
  const pool = new Pool({ connectionString: url });
  pool.on('error', () => {});
  await pool.query('CREATE TABLE customers (id TEXT PRIMARY KEY, card TEXT)');
  return {
    url,
    pool,
    keyTable: keys.endpoint,
    stop: async () => {
      await pool.end();
      await server.stop();
      await keys.stop();
    },
    store: {
      source: 'postgres:customers',
      environment: { DATABASE_URL: url },
      add: async (rows) => {
        const [ids, cards] = [rows.map(([id]) => id), rows.map(([, card]) => card)];
        await pool.query('INSERT INTO customers SELECT * FROM unnest($1::text[], $2::text[])', [ids, cards]);
      },
      write: async (id, text) => {
        await pool.query('UPDATE customers SET card = $2 WHERE id = $1', [id, text]);
      },
      read: async function* () {
        const { rows } = await pool.query<{ id: string; card: string }>('SELECT id, card FROM customers');
        for (const { id, card } of rows) yield [id, card];
      },
    },
  };
}
