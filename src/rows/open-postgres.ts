import type * as Pg from 'pg';
import { errorNameOf, invalidConfiguration } from '../errors.ts';
import { endingSocket, postgresServerOf } from '../metastore/sql/postgres-server.ts';
import { PostgresRows, type PostgresRowsOptions } from './postgres-rows.ts';
import type { RowSource } from '../maintenance/reencryption/rows.ts';

const CONNECTIONS = 8;
const CONNECT_TIMEOUT_MS = 10_000;
/** The time limit of a query. It is long enough to wait for the locks of other writers. */
const STATEMENT_TIMEOUT_MS = 30_000;

/**
 * Opens a table in PostgreSQL.
 * @param url the database's address, such as `postgres://user:password@host:5432/database`
 * @throws KeyfoldError `InvalidConfiguration` if the driver is not installed
 */
export async function openPostgresRows(url: string, options: PostgresRowsOptions): Promise<RowSource> {
  const { Pool } = await driver();
  const pool = new Pool({
    connectionString: url,
    stream: endingSocket,
    max: CONNECTIONS,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + CONNECT_TIMEOUT_MS,
    types: { getTypeParser: () => (text: string) => text },
    // Idle connections do not keep the process alive after the run.
    allowExitOnIdle: true,
  });
  // Without a listener, Node would end the process if a connection breaks. The query on the broken connection fails
  // with the same error.
  pool.on('error', () => {});
  return new PostgresRows(options, pool);
}

/**
 * Describes the database to which a URL leads. If the URL leaves out a part, the driver uses the environment, such as
 * `PGHOST`. The result holds no password.
 * @throws KeyfoldError `InvalidConfiguration` if the driver is not installed, or refuses the URL or its port
 */
export async function postgresPlaceOf(url: string): Promise<object> {
  if (URL.canParse(url) && !/^postgres(?:ql)?:$/.test(new URL(url).protocol))
    throw invalidConfiguration(['DATABASE_URL must begin with postgres://']);
  const { Client } = await driver();
  return postgresServerOf(Client, url, 'DATABASE_URL');
}

function driver(): Promise<typeof Pg> {
  return import('pg').catch((error: unknown): never => {
    throw invalidConfiguration([`the driver does not load (${errorNameOf(error)}): npm install pg`]);
  });
}
