import { having, NUMBER, optional, optionsOf, type Type, type Types } from '../../input/checks.ts';
import { MySqlKeyTable, type MySqlPool } from './mysql-key-table.ts';
import { SqlMetastore } from './sql-metastore.ts';

export type { MySqlConnection, MySqlPool } from './mysql-key-table.ts';

/** The options of {@link MySqlMetastore}. */
export interface MySqlMetastoreOptions {
  /** A pool of connections to the primary server, made by `createPool` of `mysql2/promise` 3. The caller closes it. */
  readonly pool: MySqlPool;
  /** The time limit for one attempt of a query. A query has at most three attempts. Default: 3000 milliseconds. */
  readonly queryTimeoutMs?: number;
}

const METHODS = having('getConnection');
/** Refuses a pool of `mysql2` itself, which uses callbacks. Only such a pool has a method `promise`. */
const POOL: Type = {
  called: 'a pool of mysql2/promise',
  holds: (value) => METHODS.holds(value) && typeof (value as { readonly promise?: unknown }).promise !== 'function',
};
const OPTIONS: Types<MySqlMetastoreOptions> = { pool: POOL, queryTimeoutMs: optional(NUMBER) };

/**
 * Stores key records in a MySQL or MariaDB table with Asherah's schema, `encryption_key`. As in Asherah, the text of
 * `created` is a date in UTC, which the server reads in the session's time zone. So all clients must use the same time
 * zone, preferably UTC.
 * @example
 * import { createPool } from 'mysql2/promise';
 *
 * const metastore = new MySqlMetastore({ pool: createPool(process.env['DATABASE_URL'] ?? '') });
 */
export class MySqlMetastore extends SqlMetastore {
  /**
   * @throws TypeError that names an option of the wrong type or an unknown option
   * @throws KeyfoldError `InvalidConfiguration` if `queryTimeoutMs` is too long for a timer
   */
  constructor(options: MySqlMetastoreOptions) {
    const { pool, queryTimeoutMs } = optionsOf(options, 'options', OPTIONS);
    super(new MySqlKeyTable(pool, { queryTimeoutMs }));
  }
}
