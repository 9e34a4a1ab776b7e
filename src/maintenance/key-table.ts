import type { KeyMeta } from '../records/ids.ts';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';

/** A row of the key table that does not parse as a key record. */
interface UnreadableRow {
  readonly id: string;
  /** In seconds since 1970; undefined if the row holds no whole number. */
  readonly created: number | undefined;
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
 * The key table as operator tools use it. A row that does not parse is a value here, so that operators see every row;
 * the metastore throws for it. Reads are strongly consistent. The methods throw `MetastoreUnavailable` if the table
 * fails.
 */
export interface KeyTable {
  /**
   * The name and the region of the table.
   * @throws KeyfoldError `InvalidConfiguration` if neither Keyfold's settings nor the AWS SDK's settings name a region
   */
  place(): Promise<TablePlace>;
  /** The row with this id and creation time, or the latest row of this id; undefined if there is none. */
  find(id: string, created: number | 'latest'): Promise<KeyRow | undefined>;
  /** All rows of an id, latest first. If `id` is absent, all rows of the table, in no order. */
  list(id?: string): Promise<KeyRow[]>;
  /**
   * Marks a key as revoked, and changes nothing else. It never creates a row.
   * @throws KeyfoldError `MetastoreUnavailable`, after which the key may or may not be revoked
   */
  revoke(key: KeyMeta): Promise<'revoked' | 'absent'>;
  /**
   * Adds a proof to a row that has none, and changes nothing else.
   * @returns `changed`, without a write, if the row is gone, has a proof, or its key is no longer that of `row`
   * @throws KeyfoldError `MetastoreUnavailable`, after which the row may or may not have the proof
   */
  prove(row: EnvelopeKeyRecord, proof: Uint8Array): Promise<'proven' | 'changed'>;
}
