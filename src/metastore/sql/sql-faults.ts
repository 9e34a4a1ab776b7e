import { errorNameOf, KeyfoldError } from '../../errors.ts';

/** Describes the effect of a failed query on its connection, and whether another attempt may succeed. */
export interface SqlFault {
  /** The error code of the database or of the system. The text of the error is omitted, because it can quote values. */
  readonly name: string;
  /** Whether a value does not fit into its column. */
  readonly doesNotFit: boolean;
  /** Whether the connection is no longer usable. */
  readonly isBroken: boolean;
  /** Whether another attempt may succeed immediately. */
  readonly isTransient: boolean;
}

/** Whether a driver's error code is an SQLSTATE, and not the code of a network error such as `EPIPE`. */
export function isSqlState(name: string): boolean {
  return /^[0-9A-Z]{5}$/.test(name) && !/^E[A-Z]{4}$/.test(name);
}

const NO_PASSWORD = 'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a';
/** Codes for the errors to which `pg` gives no code. Their texts are fixed, so they quote no values. */
const CODES_OF_PG: Readonly<Record<string, string>> = {
  'Connection terminated due to connection timeout': 'ETIMEDOUT',
  'Connection terminated unexpectedly': 'ECONNRESET',
  'The server does not support SSL connections': 'NoTls',
  'There was an error establishing an SSL connection': 'NoTls',
  // PostgreSQL's own code for a wrong password.
  [`${NO_PASSWORD} string`]: '28P01',
  [`${NO_PASSWORD} non-empty string`]: '28P01',
};

/** The code of an error of `pg`. The name of the error if it has none. */
export function postgresCodeOf(error: unknown): string {
  const name = errorNameOf(error);
  return name === 'Error' ? (CODES_OF_PG[(error as Error).message] ?? name) : name;
}

/** The error for a table that could not be read or written. For the log, its cause names the database and the fault. */
export function databaseUnavailable(database: string, faultOrReason: string): KeyfoldError {
  return new KeyfoldError('MetastoreUnavailable', 'The metastore does not answer.', {
    cause: new Error(`${database} table encryption_key: ${faultOrReason}`),
  });
}

/**
 * The error for a key that does not fit into the columns of the table, for example because its partition is too long.
 */
export function rowDoesNotFit(): KeyfoldError {
  return new KeyfoldError(
    'InvalidRequest',
    'The key row does not fit the columns of the table encryption_key: the partition is too long, or has characters ' +
      'that the column id or the connection cannot hold.',
  );
}
