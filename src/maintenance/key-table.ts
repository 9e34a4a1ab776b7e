import type { KeyMeta } from '../records/ids.ts';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';

/** A row of the key table that cannot be parsed as a key record. */
export interface UnreadableRow {
  readonly id: string;
  /** The creation time in seconds since 1970. Undefined if the row's value is not a whole number. */
  readonly created: number | undefined;
  /** The creation time as the table holds it, if it is not a whole number of seconds. */
  readonly rawCreated?: string | undefined;
  /** Why the row cannot be read. The text contains only the id and the creation time of the row. */
  readonly unreadable: string;
}

/** A row of the key table: its key record, or the reason why it cannot be read. */
export type KeyRow = EnvelopeKeyRecord | UnreadableRow;

/** The name and the AWS region of a {@link KeyTable}. */
export interface TablePlace {
  readonly table: string;
  /** The AWS region. */
  readonly region: string;
}

/**
 * The key table as operator tools use it. Operators must see every row, so the methods return a row even if it cannot
 * be parsed. The metastore would throw for such a row. Reads are strongly consistent. The methods throw
 * `MetastoreUnavailable` if the table fails.
 */
export interface KeyTable {
  /**
   * The name and the region of the table.
   * @throws KeyfoldError `InvalidConfiguration` if neither Keyfold's settings nor the AWS SDK's settings name a region
   */
  place(): Promise<TablePlace>;
  /** The row with this ID and creation time, or the latest row of this ID. Undefined if there is none. */
  find(id: string, created: number | 'latest'): Promise<KeyRow | undefined>;
  /** Loads all rows of an id, latest first. If `id` is absent, loads all rows of the table, in no particular order. */
  list(id?: string): Promise<KeyRow[]>;
  /** Like {@link KeyTable.list}, but page by page, so that a table of any size can be read. */
  scan(id?: string): AsyncIterable<KeyRow>;
  /**
   * Marks a key as revoked, and changes nothing else. This never creates a row.
   * @throws KeyfoldError `MetastoreUnavailable`, after which the key may or may not be revoked
   */
  revoke(key: KeyMeta): Promise<'revoked' | 'absent'>;
  /**
   * Adds a proof to a row that has none, and changes nothing else.
   * @returns `changed`, without a write, if the row is gone, if it has a proof, or if its key differs from the key of
   * `row`
   * @throws KeyfoldError `MetastoreUnavailable`, after which the row may or may not have the proof
   */
  prove(row: EnvelopeKeyRecord, proof: Uint8Array): Promise<'proven' | 'changed'>;
}
