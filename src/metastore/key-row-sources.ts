import { paginateScan } from '@aws-sdk/client-dynamodb';
import type { KeyRow, UnreadableRow } from '../maintenance/key-table.ts';
import { isPossibleKey, type KeyItem } from './dynamodb-item.ts';
import { encodeMarkedItem } from './dynamodb-marks.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';
import { Replica } from './dynamodb-replica.ts';
import { openDatabase } from './sql/open-database.ts';
import { keyRowsOf } from './sql/sql-key-rows.ts';

/** A row of a source, as DynamoDB stores it, or a row that DynamoDB cannot store. */
export type SourceRow = { readonly item: KeyItem } | UnreadableRow;

/** A store whose rows are added to a key table. */
export interface KeyRowSource {
  /** Describes the source for an operator. */
  called(): Promise<string>;
  /** Reads all rows, page by page. */
  rows(): AsyncIterable<SourceRow>;
  close(): Promise<void>;
}

/** A DynamoDB table. Its rows are copied unchanged, including marks of erasures and unknown attributes. */
export class DynamoDbSource implements KeyRowSource {
  readonly #replica: Replica;

  constructor(options: DynamoDbMetastoreOptions) {
    this.#replica = new Replica(options);
  }

  async called(): Promise<string> {
    return `DynamoDB table ${this.#replica.tableName} in ${await this.#replica.region()}`;
  }

  async *rows(): AsyncGenerator<SourceRow> {
    const scanned = this.#replica.items((config, TableName) =>
      paginateScan(config, { TableName, ConsistentRead: true }),
    );
    for await (const item of scanned) yield { item };
  }

  async close(): Promise<void> {
    this.#replica.close();
  }
}

/**
 * Opens Asherah's table `encryption_key` in PostgreSQL, MySQL or MariaDB.
 * @param url as for {@link openDatabase}
 * @throws KeyfoldError `InvalidConfiguration` if the URL does not have this form, or if the driver is not installed
 */
export async function openSqlSource(url: string): Promise<KeyRowSource> {
  const { called, table, close } = await openDatabase(url, 'DATABASE_URL');
  return {
    called: async () => called,
    rows: async function* () {
      for await (const row of keyRowsOf(table)) yield sourceRowOf(row);
    },
    close,
  };
}

function sourceRowOf(row: KeyRow): SourceRow {
  if ('unreadable' in row) return row;
  const { id, created } = row;
  if (!isPossibleKey(id, created)) return { id, created, unreadable: 'DynamoDB cannot hold its ID' };
  return { item: encodeMarkedItem(row) };
}
