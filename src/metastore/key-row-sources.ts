import { paginateScan } from '@aws-sdk/client-dynamodb';
import { errorNameOf, invalidConfiguration } from '../errors.ts';
import type { KeyRow } from '../maintenance/key-table.ts';
import { keyKindOf } from '../records/ids.ts';
import { encodeKeyItem, isPossibleKey, type KeyItem } from './dynamodb-item.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';
import { Replica } from './dynamodb-replica.ts';
import { MySqlKeyTable } from './sql/mysql-key-table.ts';
import { PostgresKeyTable } from './sql/postgres-key-table.ts';
import { keyRowsOf, type SqlPages } from './sql/sql-key-rows.ts';

/** A row of a source, as DynamoDB stores it, or a row that DynamoDB cannot store. */
export type SourceRow = { readonly item: KeyItem } | Extract<KeyRow, { readonly unreadable: string }>;

/** A store whose rows are added to a key table. */
export interface KeyRowSource {
  /** Describes the source for an operator. */
  called(): Promise<string>;
  /** Reads all rows, page by page. */
  rows(): AsyncIterable<SourceRow>;
  close(): Promise<void>;
}

/** A DynamoDB table. Its rows are taken as they are, with marks of erasures and with unknown attributes. */
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

/** A query may take longer than in a service, because it reads 500 rows. */
const TIMEOUT_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** One connection reads, and another one can stop its query. */
const CONNECTIONS = 2;

/**
 * Opens Asherah's table `encryption_key` in PostgreSQL, MySQL or MariaDB.
 * @param url the database's address, such as `postgres://user:password@host:5432/database`
 * @throws KeyfoldError `InvalidConfiguration` if it is not such a URL, or if the driver is not installed
 */
export async function openSqlSource(url: string): Promise<KeyRowSource> {
  const { protocol, hostname, port } = URL.canParse(url) ? new URL(url) : { protocol: '', hostname: '', port: '' };
  if (/^postgres(?:ql)?:$/.test(protocol) && hostname !== '') {
    const { Pool } = await driver('pg', () => import('pg'));
    const limits = { max: CONNECTIONS, connectionTimeoutMillis: CONNECT_TIMEOUT_MS };
    const pool = new Pool({ connectionString: url, ...limits });
    // The query on a broken connection fails with the same error. Without a listener, Node would end the process.
    pool.on('error', () => {});
    const at = ` at ${hostname}:${port || '5432'}`;
    const table = new PostgresKeyTable(pool, { queryTimeoutMs: TIMEOUT_MS, at });
    return sqlSource(`PostgreSQL${at}`, table, () => pool.end());
  }
  if (/^(?:mysql|mariadb):$/.test(protocol) && hostname !== '') {
    const { createPool } = await driver('mysql2', () => import('mysql2/promise'));
    const pool = createPool({ uri: url, connectionLimit: CONNECTIONS, connectTimeout: CONNECT_TIMEOUT_MS });
    const at = ` at ${hostname}:${port || '3306'}`;
    const table = new MySqlKeyTable(pool, { queryTimeoutMs: TIMEOUT_MS, at });
    return sqlSource(`MySQL${at}`, table, () => pool.end());
  }
  throw invalidConfiguration(['DATABASE_URL must begin with postgres://, mysql:// or mariadb:// and a host']);
}

/** Loads a driver, which is an optional peer of the package. */
async function driver<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw invalidConfiguration([`the driver does not load (${errorNameOf(error)}): npm install ${name}`]);
  }
}

function sqlSource(called: string, table: SqlPages, close: () => Promise<void>): KeyRowSource {
  return {
    called: async () => called,
    rows: async function* () {
      for await (const row of keyRowsOf(table)) {
        // Asherah Rust keeps a row that describes its configuration. With another metastore, it refuses to start if it
        // finds that row.
        if (keyKindOf(row.id) !== undefined) yield sourceRowOf(row);
      }
    },
    close,
  };
}

function sourceRowOf(row: KeyRow): SourceRow {
  if ('unreadable' in row) return row;
  const { id, created } = row;
  if (!isPossibleKey(id, created)) return { id, created, unreadable: 'DynamoDB cannot hold its ID' };
  return { item: encodeKeyItem(row) };
}
