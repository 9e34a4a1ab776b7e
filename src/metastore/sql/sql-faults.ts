import { KeyfoldError } from '../../errors.ts';

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
