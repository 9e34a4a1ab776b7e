import type { Deadline } from '../../async/deadline.ts';
import { exactInteger } from '../../input/exact-integer.ts';
import { MAX_KEY_RECORD_CHARACTERS, type SqlKeyRow } from './key-record.ts';
import { destroySocket, SqlConnections, type SqlPool } from './sql-connections.ts';
import { isSqlState, postgresCodeOf, rowDoesNotFit, type SqlFault } from './sql-faults.ts';
import type { SqlKeyTable, SqlSelection } from './sql-metastore.ts';
import type { SqlCursor, SqlPageRow, SqlPages } from './sql-key-rows.ts';
import type { SqlTableOptions } from './sql-connections.ts';

/** The part of a `Pool` of `pg` that Keyfold uses. */
export interface PostgresPool {
  connect(): Promise<PostgresConnection>;
}

/** The part of a {@link PostgresPool} connection that Keyfold uses. */
export interface PostgresConnection {
  query(query: never): Promise<unknown>;
  release(destroy?: boolean): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
}

/** One query, in the driver's form. */
interface Query {
  readonly text: string;
  readonly values: readonly (string | null)[];
}

/** The result of a query, as the driver returns it. */
interface Answer {
  readonly rows: readonly (readonly (string | null)[])[];
  readonly rowCount: number | null;
}

/**
 * Query options with which the driver returns rows as arrays of PostgreSQL's text values, even if the caller has set
 * parsers.
 */
const AS_TEXT = { rowMode: 'array', types: { getTypeParser: () => (text: string) => text } };

// Some collations treat different IDs as equal, so the second condition compares the IDs byte by byte.
const OF_ID = 'id = $1 AND id::text COLLATE "C" = $1';
/** The text of a row, but at most one character more than a readable row has. */
const TEXT = `left(key_record::text, ${MAX_KEY_RECORD_CHARACTERS + 1})`;
const COLUMNS = `extract(epoch FROM created::timestamptz)::text, created::text, ${TEXT}`;
const SELECT = `SELECT ${COLUMNS} FROM encryption_key WHERE ${OF_ID}`;
const SELECT_ALL = `SELECT ${COLUMNS}, id::text FROM encryption_key`;
/**
 * The date of the row after which the next page begins. The query finds that row by the text of its date, because with
 * some settings of DateStyle, PostgreSQL would read this text as another time. PostgreSQL has to read the text only if
 * the row is gone.
 */
const DATE_AT = `coalesce((SELECT created FROM encryption_key WHERE ${OF_ID} AND created::text = $2), $3)`;
const IN_ORDER = 'ORDER BY encryption_key.id, encryption_key.created LIMIT';
const INSERT =
  'INSERT INTO encryption_key (id, created, key_record) VALUES ($1, to_timestamp($2), $3) ON CONFLICT DO NOTHING';
/**
 * Compares the date as text. With some settings of DateStyle, PostgreSQL writes a date as text that it reads as another
 * time.
 */
const UNCHANGED = `${OF_ID} AND created::text = $2 AND ${TEXT} COLLATE "C" IS NOT DISTINCT FROM $3`;
const REPLACE = `UPDATE encryption_key SET key_record = $4 WHERE ${UNCHANGED}`;
const REMOVE = `DELETE FROM encryption_key WHERE ${UNCHANGED}`;

/** Asherah's table in PostgreSQL. */
export class PostgresKeyTable implements SqlKeyTable, SqlPages {
  readonly #connections: SqlConnections<PostgresConnection>;

  constructor(pool: PostgresPool, { queryTimeoutMs, at = '' }: SqlTableOptions) {
    this.#connections = new SqlConnections(`PostgreSQL${at}`, new Connections(pool), queryTimeoutMs);
  }

  async select({ id, created, notAfter, limit }: SqlSelection, deadline: Deadline): Promise<SqlKeyRow[]> {
    if (hasNul(id)) return [];
    const date = created ?? notAfter;
    const dated = date === undefined ? '' : ` AND created ${created === undefined ? '<=' : '='} to_timestamp($2)`;
    const text = `${SELECT}${dated} ORDER BY created DESC${limit === undefined ? '' : ` LIMIT ${limit}`}`;
    const { rows } = await this.#send({ text, values: date === undefined ? [id] : [id, String(date)] }, deadline);
    return rows.map(rowOf);
  }

  async insert(id: string, created: number, record: string, deadline: Deadline): Promise<'stored' | 'duplicate'> {
    if (hasNul(id)) throw rowDoesNotFit();
    const { rowCount } = await this.#send({ text: INSERT, values: [id, String(created), record] }, deadline);
    return rowCount === 1 ? 'stored' : 'duplicate';
  }

  async replace(id: string, { date, text }: SqlKeyRow, to: string, deadline: Deadline): Promise<boolean> {
    const { rowCount } = await this.#send({ text: REPLACE, values: [id, date, text, to] }, deadline);
    return rowCount === 1;
  }

  async remove(id: string, { date, text }: SqlKeyRow, deadline: Deadline): Promise<boolean> {
    const { rowCount } = await this.#send({ text: REMOVE, values: [id, date, text] }, deadline);
    return rowCount === 1;
  }

  async page(after: SqlCursor | undefined, limit: number, deadline: Deadline): Promise<SqlPageRow[]> {
    const text = `${SELECT_ALL}${after === undefined ? '' : ` WHERE (id, created) > ($1, ${DATE_AT})`} ${IN_ORDER} ${limit}`;
    const { rows } = await this.#send(
      { text, values: after === undefined ? [] : [after.id, after.date, after.date] },
      deadline,
    );
    return rows.map((row) => Object.assign(rowOf(row), { id: row[3] ?? '' }));
  }

  #send(query: Query, deadline: Deadline): Promise<Answer> {
    const sent = { ...query, ...AS_TEXT } as never;
    return this.#connections.run(async (connection) => (await connection.query(sent)) as Answer, deadline);
  }
}

function rowOf([seconds, date, text]: Answer['rows'][number]): SqlKeyRow {
  return { created: wholeSeconds(seconds), date: date ?? '', text: text ?? null };
}

/** Whether a string contains U+0000, the only character that PostgreSQL cannot store in text. */
function hasNul(text: string): boolean {
  return text.includes('\0');
}

/**
 * Reads the result of `extract(epoch …)`, which is a decimal number or `Infinity`. Returns undefined unless it is a
 * whole number.
 */
function wholeSeconds(text: string | null | undefined): number | undefined {
  const digits = typeof text === 'string' ? exactInteger(text) : undefined;
  return digits === undefined ? undefined : Number(digits);
}

/**
 * Stops the query that a connection is running. If there is a pooler between Keyfold and the server, the ID may be the
 * pooler's own, and belong to another connection on the server. So the statement also compares the text of the query.
 */
const CANCEL =
  'SELECT pg_cancel_backend(pid) ' +
  "FROM pg_stat_activity WHERE pid = $1 AND usename = current_user AND state = 'active' AND query LIKE '%encryption_key%'";

class Connections implements SqlPool<PostgresConnection> {
  readonly #pool: PostgresPool;

  constructor(pool: PostgresPool) {
    this.#pool = pool;
  }

  async acquire(): Promise<PostgresConnection> {
    const connection = await this.#pool.connect();
    connection.on('error', ignore);
    return connection;
  }

  identityOf(connection: PostgresConnection): object {
    return connection;
  }

  release(connection: PostgresConnection): void {
    connection.removeListener('error', ignore);
    connection.release();
  }

  close(connection: PostgresConnection): void {
    connection.release(true);
    destroySocket((connection as { readonly connection?: object }).connection);
  }

  stopping(connection: PostgresConnection): ((on: PostgresConnection) => Promise<unknown>) | undefined {
    const { processID } = connection as { readonly processID?: number | null };
    if (typeof processID !== 'number') return undefined;
    return (on) => on.query({ text: CANCEL, values: [String(processID)] } as never);
  }

  faultOf(error: unknown): SqlFault {
    const name = postgresCodeOf(error);
    const isState = isSqlState(name);
    // The SQLSTATEs are: 08…, a connection exception; 57P01 to 57P05, the server has ended the connection; 25006, the
    // server is read-only. If the server is read-only after a failover, a new connection leads to the new primary
    // server.
    const isBroken = !isState || name.startsWith('08') || name.startsWith('57P') || name === '25006';
    // The SQLSTATE 40001 means a serialization failure, and 40P01 a deadlock.
    return {
      name,
      doesNotFit: isState && name.startsWith('22'),
      isBroken,
      isTransient: isBroken || name === '40001' || name === '40P01',
    };
  }
}

/**
 * Ignores the error that a broken connection emits, because it would end the process. The query on the connection fails
 * with the same error.
 */
function ignore(): void {}
