import { errorNameOf, invalidConfiguration } from '../errors.ts';
import { PostgresRows, type PostgresRowsOptions } from './postgres-rows.ts';
import type { RowSource } from '../maintenance/reencryption/rows.ts';

const CONNECTIONS = 8;
const CONNECT_TIMEOUT_MS = 10_000;
/** A query can wait for the locks of other writers. */
const STATEMENT_TIMEOUT_MS = 30_000;

/**
 * Opens a table in PostgreSQL.
 * @param url the database's address, such as `postgres://user:password@host:5432/database`
 * @throws KeyfoldError `InvalidConfiguration` if the driver is not installed
 */
export async function openPostgresRows(url: string, options: PostgresRowsOptions): Promise<RowSource> {
  const { Pool } = await import('pg').catch((error: unknown): never => {
    throw invalidConfiguration([`the driver does not load (${errorNameOf(error)}): npm install pg`]);
  });
  const pool = new Pool({
    connectionString: url,
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
