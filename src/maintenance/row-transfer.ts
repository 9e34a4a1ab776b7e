/** What a transfer found or did for one row of its source. */
export interface TransferredRow {
  readonly id: string;
  /** The creation time in seconds since 1970. Undefined if the row's value is not a whole number. */
  readonly created: number | undefined;
  /** The creation time as the source holds it, if it is not a whole number of seconds. */
  readonly rawCreated?: string | undefined;
  /**
   * - `same`: the target has the row. Since the row was copied, the target's row may have been revoked or may have got
   *   a proof.
   * - `missing`: the target does not have the row.
   * - `added`: this run has added the row.
   * - `differs`: the target has another row with the same ID and date.
   * - `erased`: the target does not have the row, and has a tombstone for its ID. The row is not added.
   * - `unreadable`: the row cannot be read, or the target cannot hold it.
   */
  readonly outcome: 'same' | 'missing' | 'added' | 'differs' | 'erased' | 'unreadable';
  /** The reason for `differs`, `erased` and `unreadable`. It contains no key. */
  readonly why?: string;
}

/**
 * Adds the rows of another store to a key table. It never overwrites a row. The methods read the rows of all services
 * in the source. They throw `MetastoreUnavailable` if one of the two stores fails.
 */
export interface RowTransfer {
  /** Describes the source for an operator, such as `PostgreSQL at 127.0.0.1:5432`. */
  from(): Promise<string>;
  /** Compares each row with the target. */
  compare(): AsyncIterable<TransferredRow>;
  /**
   * Adds each row that the target does not have.
   * @param signal if it aborts, the iterator first yields the rows that were already processed, and then throws the
   * reason
   */
  add(signal: AbortSignal): AsyncIterable<TransferredRow>;
  /** Closes the connections to the source. */
  close(): Promise<void>;
}
