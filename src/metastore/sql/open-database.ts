import type { Outcome } from '../../connections/inspected-calls.ts';
import { errorNameOf, invalidConfiguration } from '../../errors.ts';
import type { DatabaseInspection } from '../../maintenance/inspection.ts';
import { INSPECT_MYSQL, INSPECT_POSTGRES, inspectDatabase } from './database-inspection.ts';
import { MySqlKeyTable } from './mysql-key-table.ts';
import { PostgresKeyTable } from './postgres-key-table.ts';
import { endingSocket, postgresServerOf, unlessRefused } from './postgres-server.ts';
import type { SqlPages } from './sql-key-rows.ts';
import type { SqlKeyTable } from './sql-metastore.ts';

/** An SQL database with Asherah's table `encryption_key`. */
export interface Database {
  /** The product and its address, such as `PostgreSQL at 127.0.0.1:5432`. */
  readonly called: string;
  readonly table: SqlKeyTable & SqlPages;
  readonly inspect: () => Promise<Outcome<DatabaseInspection>>;
  readonly close: () => Promise<void>;
}

/**
 * The time limit of a query. It is longer than in a service, because a query of an operator's command can read 500
 * rows.
 */
const TIMEOUT_MS = 30_000;
/** How long one attempt to connect may take. A query makes up to three such attempts. */
const CONNECT_TIMEOUT_MS = 5_000;
/** One connection runs queries. The other one cancels a query on the first one. */
const CONNECTIONS = 2;

/**
 * Opens a database for an operator's command. Does not connect yet.
 * @param url the database's address, such as `postgres://user:password@host:5432/database`
 * @param variable the environment variable that holds the URL, for errors
 * @throws KeyfoldError `InvalidConfiguration` if the URL does not have this form, or if the driver is not installed or
 * refuses the URL
 */
export async function openDatabase(url: string, variable: string): Promise<Database> {
  const { protocol, hostname, port } = URL.canParse(url) ? new URL(url) : { protocol: '', hostname: '', port: '' };
  if (/^postgres(?:ql)?:$/.test(protocol) && hostname !== '') {
    const { Client, Pool } = await driver('pg', () => import('pg'));
    const server = postgresServerOf(Client, url, variable);
    const limits = { max: CONNECTIONS, connectionTimeoutMillis: CONNECT_TIMEOUT_MS };
    const pool = new Pool({ connectionString: url, stream: endingSocket, ...limits });
    // Without a listener, Node would end the process if a connection breaks. The query on the broken connection fails
    // with the same error.
    pool.on('error', () => {});
    // The driver removes the brackets of an IPv6 address.
    const host = server.host.includes(':') ? `[${server.host}]` : server.host;
    const at = ` at ${host}:${server.port}`;
    const table = new PostgresKeyTable(pool, { queryTimeoutMs: TIMEOUT_MS, at });
    const send = async (): Promise<unknown[][]> =>
      (await pool.query<unknown[]>({ text: INSPECT_POSTGRES, rowMode: 'array' })).rows;
    const inspect = (): Promise<Outcome<DatabaseInspection>> => inspectDatabase(send);
    return { called: `PostgreSQL${at}`, table, inspect, close: () => pool.end() };
  }
  if (/^(?:mysql|mariadb):$/.test(protocol) && hostname !== '') {
    const { createPool } = await driver('mysql2', () => import('mysql2/promise'));
    const limits = { connectionLimit: CONNECTIONS, connectTimeout: CONNECT_TIMEOUT_MS };
    const pool = unlessRefused(variable, () => createPool({ uri: url, ...limits }));
    const at = ` at ${hostname}:${port || '3306'}`;
    const table = new MySqlKeyTable(pool, { queryTimeoutMs: TIMEOUT_MS, at });
    const send = async (): Promise<unknown[][]> =>
      (await pool.query({ sql: INSPECT_MYSQL, rowsAsArray: true }))[0] as unknown[][];
    const inspect = (): Promise<Outcome<DatabaseInspection>> => inspectDatabase(send);
    return { called: `MySQL${at}`, table, inspect, close: () => pool.end() };
  }
  throw invalidConfiguration([`${variable} must begin with postgres://, mysql:// or mariadb:// and a host`]);
}

/** Loads a driver, which is an optional peer of the package. */
async function driver<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    throw invalidConfiguration([`the driver does not load (${errorNameOf(error)}): npm install ${name}`]);
  }
}
