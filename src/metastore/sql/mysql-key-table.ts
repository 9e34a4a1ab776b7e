import type { Deadline } from '../../async/deadline.ts';
import { errorNameOf } from '../../errors.ts';
import { TOMBSTONE_CREATED } from '../../records/ids.ts';
import { MAX_KEY_RECORD_CHARACTERS, type SqlKeyRow } from './key-record.ts';
import { destroySocket, SqlConnections, type SqlPool } from './sql-connections.ts';
import { rowDoesNotFit, type SqlFault } from './sql-faults.ts';
import type { SqlKeyTable, SqlSelection } from './sql-metastore.ts';
import type { SqlCursor, SqlPageRow, SqlPages } from './sql-key-rows.ts';
import type { SqlTableOptions } from './sql-connections.ts';

/** The part of a pool of `mysql2/promise` that Keyfold uses. */
export interface MySqlPool {
  getConnection(): Promise<MySqlConnection>;
}

/** The part of a {@link MySqlPool} connection that Keyfold uses. */
export interface MySqlConnection {
  execute(query: never): Promise<unknown>;
  release(): void;
  destroy(): void;
  readonly threadId: number | null;
  /** The driver's underlying connection. It stays the same object each time the pool hands out the connection. */
  readonly connection?: object;
}

/** One query, in the driver's form. */
interface Query {
  readonly sql: string;
  readonly values: readonly (string | number | null)[];
}

type Row = readonly (string | null)[];

/** Query options with which the driver returns rows as arrays, even if the caller's pool has other settings. */
const AS_ARRAYS = { rowsAsArray: true, nestTables: false, typeCast: true };

/** The bytes of a text in UTF-8, whatever the character sets of the column and the connection. */
const bytesOf = (text: string): string => `CAST(CONVERT(${text} USING utf8mb4) AS BINARY)`;

/** The bytes of a text in UTF-8, as hexadecimal digits. */
const hexOf = (text: string): string => `HEX(CONVERT(${text} USING utf8mb4))`;

// Most collations ignore case, accents or spaces at the end, so the second condition compares IDs byte by byte. Its
// parameter is ASCII. So it stays the same if the connection's character set has no code for a character of the ID.
const OF_ID = `id = ? AND ${hexOf('id')} = ?`;
const DATE = 'CAST(created AS CHAR)';
/** The text of a row, but at most one character more than a readable row has. */
const TEXT = `LEFT(CONVERT(key_record USING utf8mb4), ${MAX_KEY_RECORD_CHARACTERS + 1})`;
const COLUMNS = `${DATE}, ${TEXT}`;
const SELECT = `SELECT ${COLUMNS} FROM encryption_key WHERE ${OF_ID}`;
const SELECT_ALL = `SELECT ${COLUMNS}, CONVERT(id USING utf8mb4) FROM encryption_key`;
/**
 * The first condition excludes the IDs before the position. It also lets the server begin to read in the middle of the
 * primary key.
 */
const AFTER = 'WHERE id >= ? AND (id > ? OR created > ?)';
/** Without strict mode, MySQL would truncate a text that is too long. Without autocommit, a write would be lost. */
export const IS_SAFE = "@@autocommit = 1 AND @@sql_mode LIKE '%STRICT_%_TABLES%'";
/** Stores a row only if the connection's character set has not changed the ID. */
const INSERT = `INSERT INTO encryption_key (id, created, key_record) SELECT ?, ?, ? FROM DUAL WHERE ${hexOf('?')} = ? AND ${IS_SAFE}`;
/** Compares the date as text, because a date such as 0000-00-00 can be read, but not written in a condition. */
const UNCHANGED = `${OF_ID} AND ${DATE} = ? AND ${bytesOf(TEXT)} <=> ${bytesOf('?')} AND ${IS_SAFE}`;
/** Sets `created` to itself, because a TIMESTAMP column may have an implicit ON UPDATE CURRENT_TIMESTAMP. */
const REPLACE = `UPDATE encryption_key SET key_record = ?, created = created WHERE ${UNCHANGED}`;
const REMOVE = `DELETE FROM encryption_key WHERE ${UNCHANGED}`;

/** Asherah's table in MySQL or MariaDB. */
export class MySqlKeyTable implements SqlKeyTable, SqlPages {
  readonly #connections: SqlConnections<MySqlConnection>;

  constructor(pool: MySqlPool, { queryTimeoutMs, at = '' }: SqlTableOptions) {
    this.#connections = new SqlConnections(`MySQL${at}`, new Connections(pool), queryTimeoutMs);
  }

  async select({ id, created, notAfter, limit }: SqlSelection, deadline: Deadline): Promise<SqlKeyRow[]> {
    const isDated = created !== undefined || notAfter !== undefined;
    const dated = isDated ? ` AND created ${created === undefined ? '<=' : '='} ?` : '';
    const sql = `${SELECT}${dated} ORDER BY created DESC${limit === undefined ? '' : ` LIMIT ${limit}`}`;
    const date = created === undefined ? timestampOf(notAfter ?? 0) : createdOf(created);
    const query = { sql, values: isDated ? [...keyed(id), date] : keyed(id) };
    const rows = await this.#connections.run(async (on) => (await send(on, query)) as Row[], deadline);
    return rows.map(rowOf);
  }

  async insert(id: string, created: number, text: string, deadline: Deadline): Promise<'stored' | 'duplicate'> {
    const values = [id, createdOf(created), text, ...keyed(id)];
    const outcome = await this.#connections.run(async (on) => {
      try {
        return (await write(on, { sql: INSERT, values })) ? 'stored' : 'changed';
      } catch (error) {
        if (errorNameOf(error) === 'ER_DUP_ENTRY') return 'duplicate';
        throw error;
      }
    }, deadline);
    if (outcome === 'changed') throw rowDoesNotFit();
    return outcome;
  }

  async replace(id: string, { date, text }: SqlKeyRow, to: string, deadline: Deadline): Promise<boolean> {
    const query = { sql: REPLACE, values: [to, ...keyed(id), date, text] };
    return this.#connections.run((on) => write(on, query), deadline);
  }

  async remove(id: string, { date, text }: SqlKeyRow, deadline: Deadline): Promise<boolean> {
    const query = { sql: REMOVE, values: [...keyed(id), date, text] };
    return this.#connections.run((on) => write(on, query), deadline);
  }

  async page(after: SqlCursor | undefined, limit: number, deadline: Deadline): Promise<SqlPageRow[]> {
    const sql = `${SELECT_ALL} ${after === undefined ? '' : AFTER} ORDER BY id, created LIMIT ${limit}`;
    const query = { sql, values: after === undefined ? [] : [after.id, after.id, after.date] };
    const rows = await this.#connections.run(async (on) => (await send(on, query)) as Row[], deadline);
    return rows.map((row) => Object.assign(rowOf(row), { id: row[2] ?? '' }));
  }
}

/** The two parameters for an ID: its text, and its bytes in UTF-8 as hexadecimal digits. */
function keyed(id: string): [string, string] {
  return [id, Buffer.from(id).toString('hex').toUpperCase()];
}

function rowOf([date, text]: Row): SqlKeyRow {
  return { created: secondsOf(date), date: date ?? '', text: text ?? null };
}

async function send(on: MySqlConnection, query: Query): Promise<unknown> {
  const [result] = (await on.execute({ ...query, ...AS_ARRAYS } as never)) as [unknown];
  return result;
}

/**
 * Writes one row. Resolves to true if there was a row to write. @throws UnsafeSession if the server refused to write
 */
async function write(on: MySqlConnection, query: Query): Promise<boolean> {
  const { affectedRows } = (await send(on, query)) as { readonly affectedRows: number };
  if (affectedRows > 0) return true;
  const safe = await send(on, { sql: `SELECT 1 FROM DUAL WHERE ${IS_SAFE}`, values: [] });
  if ((safe as Row[]).length === 0) throw new UnsafeSession();
  return false;
}

/** The error for a session that could truncate or lose a write. */
class UnsafeSession extends Error {
  override readonly name = 'UnsafeSession';
}

/**
 * The column `created` of a tombstone. The range of TIMESTAMP ends a day later, so this date fits in every time zone.
 * No key has this date, because the dates of keys are whole minutes.
 */
const TOMBSTONE_TIMESTAMP = '2038-01-17 23:59:59';

/** The column `created` of a row. */
function createdOf(seconds: number): string {
  return seconds === TOMBSTONE_CREATED ? TOMBSTONE_TIMESTAMP : timestampOf(seconds);
}

/** A date in UTC as text. The server reads it in the session's time zone. */
function timestampOf(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ');
}

function secondsOf(timestamp: string | null | undefined): number | undefined {
  if (typeof timestamp !== 'string' || !/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.0+)?$/.test(timestamp)) return undefined;
  if (timestamp.slice(0, 19) === TOMBSTONE_TIMESTAMP) return TOMBSTONE_CREATED;
  const ms = Date.parse(`${timestamp.slice(0, 19).replace(' ', 'T')}Z`);
  return Number.isNaN(ms) ? undefined : ms / 1000;
}

class Connections implements SqlPool<MySqlConnection> {
  readonly #pool: MySqlPool;

  constructor(pool: MySqlPool) {
    this.#pool = pool;
  }

  acquire(): Promise<MySqlConnection> {
    return this.#pool.getConnection();
  }

  /**
   * The driver wraps its connection in a new object each time the pool hands it out. So return the connection inside
   * that object.
   */
  identityOf(connection: MySqlConnection): object {
    return connection.connection ?? connection;
  }

  release(connection: MySqlConnection): void {
    connection.release();
  }

  close(connection: MySqlConnection): void {
    connection.destroy();
    destroySocket(connection.connection);
  }

  stopping({ threadId }: MySqlConnection): ((on: MySqlConnection) => Promise<void>) | undefined {
    if (typeof threadId !== 'number') return undefined;
    return async (on) => {
      // If there is a proxy between Keyfold and the server, the ID may be the proxy's own. On the server, the same
      // number may be the ID of another connection. So first check that the connection runs a query on this table.
      const running = await send(on, {
        sql: "SELECT 1 FROM information_schema.processlist WHERE id = ? AND info LIKE '%encryption_key%'",
        values: [threadId],
      });
      if ((running as Row[]).length > 0) await send(on, { sql: `KILL QUERY ${threadId}`, values: [] });
    };
  }

  faultOf(error: unknown): SqlFault {
    const name = errorNameOf(error);
    const { sqlState, fatal } = error as { readonly sqlState?: unknown; readonly fatal?: unknown };
    const isState = typeof sqlState === 'string';
    // The SQLSTATE class 08 means a connection exception, and 25006 a read-only transaction.
    const isBroken = !isState || /^(?:08|25006$)/.test(sqlState) || fatal === true || GONE.has(name);
    const isUnsafe = error instanceof UnsafeSession;
    // The SQLSTATE class 28 means that the server refuses the user, and 42 that the database does not exist. Another
    // attempt would fail, too.
    const isRefused = isState && /^(?:28|42)/.test(sqlState);
    return {
      name: isUnsafe ? 'the session must have autocommit and a strict sql_mode' : name,
      doesNotFit: isState && (sqlState.startsWith('22') || UNFIT.has(name)),
      isBroken: isBroken && !isUnsafe,
      isTransient: (isBroken && !isUnsafe && !isRefused) || name === 'ER_LOCK_DEADLOCK',
    };
  }
}

/**
 * Errors that say that a value does not fit into its column, even in a comparison. The SQLSTATE of these errors is
 * HY000, which stands for any general error, so Keyfold must compare their names. MariaDB reports the last of these
 * errors if the character set of the column lacks a character of the value.
 */
const UNFIT: ReadonlySet<string> = new Set([
  'ER_TRUNCATED_WRONG_VALUE_FOR_FIELD',
  'ER_WRONG_VALUE',
  'ER_CANT_AGGREGATE_2COLLATIONS',
]);

/**
 * After these errors, the connection is unusable, although the SQLSTATE does not say so. The server closes the
 * connection, can no longer run its prepared statements, or is read-only. If the server became read-only in a failover,
 * a new connection reaches the new primary server.
 */
const GONE: ReadonlySet<string> = new Set([
  'ER_CLIENT_INTERACTION_TIMEOUT',
  'ER_CONNECTION_KILLED',
  'ER_NEED_REPREPARE',
  'ER_OPTION_PREVENTS_STATEMENT',
  'ER_READ_ONLY_MODE',
  'ER_SERVER_OFFLINE_MODE',
  'ER_UNKNOWN_STMT_HANDLER',
]);
