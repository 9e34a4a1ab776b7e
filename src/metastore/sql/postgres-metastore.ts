import { having, NUMBER, optional, optionsOf, type Types } from '../../input/checks.ts';
import { PostgresKeyTable, type PostgresPool } from './postgres-key-table.ts';
import { SqlMetastore } from './sql-metastore.ts';

export type { PostgresConnection, PostgresPool } from './postgres-key-table.ts';

/** The options of {@link PostgresMetastore}. */
export interface PostgresMetastoreOptions {
  /** A `Pool` of `pg` 8 with connections to the primary server. The caller closes it. */
  readonly pool: PostgresPool;
  /** The time limit for one attempt of a query. A query has at most three attempts. Default: 3000 milliseconds. */
  readonly queryTimeoutMs?: number;
}

const OPTIONS: Types<PostgresMetastoreOptions> = {
  pool: { ...having('connect'), called: 'a Pool of pg' },
  queryTimeoutMs: optional(NUMBER),
};

/**
 * Stores key records in a PostgreSQL table with Asherah's schema, `encryption_key`. If `created` is a TIMESTAMP without
 * time zone, the session's time zone must be the time zone in which the rows were written.
 * @example
 * import { Pool } from 'pg';
 *
 * const pool = new Pool({ connectionString: process.env['DATABASE_URL'], connectionTimeoutMillis: 3000 });
 * pool.on('error', (error) => console.error(error));
 * const metastore = new PostgresMetastore({ pool });
 */
export class PostgresMetastore extends SqlMetastore {
  /**
   * @throws TypeError that names an option of the wrong type or an unknown option
   * @throws KeyfoldError `InvalidConfiguration` if `queryTimeoutMs` is too long for a timer
   */
  constructor(options: PostgresMetastoreOptions) {
    const { pool, queryTimeoutMs } = optionsOf(options, 'options', OPTIONS);
    super(new PostgresKeyTable(pool, { queryTimeoutMs }));
  }
}
