import type { KeyMeta } from '../records/ids.ts';
import type { EnvelopeKeyRecord } from '../envelope/ports.ts';

/** A row of the key table that is no record of ours, or a broken one. */
interface UnreadableRow {
  readonly id: string;
  /** In seconds since 1970; undefined where the table holds no whole number. */
  readonly created: number | undefined;
  /** Why it cannot be read; holds nothing of the row but its id and time. */
  readonly unreadable: string;
}

/** A row as an operator sees it: its record, or why there is none. */
export type KeyRow = EnvelopeKeyRecord | UnreadableRow;

/** Where a {@link KeyTable} is. */
export interface TablePlace {
  readonly table: string;
  /** The AWS region. */
  readonly region: string;
}

/**
 * The key table as operators look at it, who want to see every row: one that does not parse is a value here, where the
 * metastore throws. Reads are consistent. Trouble is a throw of `MetastoreUnavailable`.
 */
export interface KeyTable {
  /** @throws KeyfoldError `InvalidConfiguration` where neither the settings nor the AWS SDK's own name a region */
  place(): Promise<TablePlace>;
  /** The row of that id and time, or the id's latest; undefined where there is none. */
  find(id: string, created: number | 'latest'): Promise<KeyRow | undefined>;
  /** All rows of an id, latest first; without an id all of the table, in no order. */
  list(id?: string): Promise<KeyRow[]>;
  /** Flags a key as revoked and changes nothing else. A row that is absent stays so; after a throw it may be flagged, or not. */
  revoke(key: KeyMeta): Promise<'revoked' | 'absent'>;
}
