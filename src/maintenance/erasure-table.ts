import type { EnvelopeKeyRecord, Erasure, ErasureMark } from '../envelope/ports.ts';
import type { PartitionId } from '../records/ids.ts';
import type { KeyRow } from './key-table.ts';

/** Which rows to read: the rows of one ID, or the rows whose ID begins with one of the prefixes. */
export type RowSelection = { readonly id: string } | { readonly prefixes: readonly string[] };

/**
 * The rows of one replica, as an erasure reads and writes them. Reads are strongly consistent. A write changes nothing
 * if the row has changed since it was read. There is one exception: a row in DynamoDB that could not be parsed is
 * deleted or replaced even if it has changed. Callers read the rows again to see what was written. The methods throw
 * `MetastoreUnavailable` if the table fails.
 */
export interface ErasureTable {
  /** Reads rows, including rows that cannot be parsed. */
  rows(selection: RowSelection): Promise<KeyRow[]>;
  /**
   * Stores a new row, unless the table already has a row with this ID and creation time.
   * @param replaced the row to replace instead, in one write
   */
  store(record: EnvelopeKeyRecord, replaced?: KeyRow): Promise<void>;
  /** Sets the mark of a row and revokes its key, or removes the mark if `mark` is undefined. */
  mark(row: EnvelopeKeyRecord, mark: ErasureMark | undefined): Promise<void>;
  /** Deletes a row. */
  remove(row: KeyRow): Promise<void>;
}

/** The erasure of one partition, as the service's register of erasures lists it. */
export interface RegisteredErasure extends Erasure {
  readonly partition: PartitionId;
  /** When the last row was deleted, in seconds since 1970. Undefined until then. */
  readonly deletedAt?: number | undefined;
}

/** Returns the erasures whose waiting time is over, but whose rows are not deleted yet. */
export function dueErasures(entries: readonly RegisteredErasure[], nowMs: number): RegisteredErasure[] {
  return entries.filter(({ deletedAt, due }) => deletedAt === undefined && due * 1000 <= nowMs);
}

/**
 * The register of a service's erasures, for daily maintenance and for the operator. An entry alone causes no deletion.
 * An erasure deletes the rows that have its mark, and it deletes other rows only if the operator agrees.
 */
export interface ErasureRegister {
  list(): Promise<RegisteredErasure[]>;
  /** Adds an entry. Returns false, without adding it, if another erasure began in the same second. */
  add(entry: RegisteredErasure): Promise<boolean>;
  /** Replaces the entry of the same erasure. */
  update(entry: RegisteredErasure): Promise<void>;
  remove(entry: RegisteredErasure): Promise<void>;
}

/** A copy of the table's rows, such as a backup, that still contains the keys of an erased partition. */
export interface KeyCopy {
  /** `unknown`: Keyfold cannot list the copies of a replica, and `text` says why. */
  readonly kind: 'point-in-time-recovery' | 'backup' | 'export' | 'stream' | 'unknown';
  /** The region of the replica that has the copy. */
  readonly region: string;
  /** The name of the copy, and when or how it will be deleted. */
  readonly text: string;
  /**
   * When the copy is deleted automatically, in seconds since 1970. Undefined if it stays until an operator deletes it.
   */
  readonly until?: number | undefined;
}

/** The replicas of a key table. A table without replicas has one region. */
export interface ErasureTables {
  /** The regions that have a replica. The operator's own region comes first. */
  regions(): Promise<readonly string[]>;
  at(region: string): ErasureTable;
  readonly register: ErasureRegister;
  /** The table's clock minus this machine's, in milliseconds. Undefined if the table does not report its time. */
  clockOffsetMs(): Promise<number | undefined>;
  /**
   * Lists the copies that a replica holds of the rows that existed at a given time.
   * @param existedAt the last time at which the rows existed, in seconds since 1970
   */
  copies(region: string, existedAt: number): Promise<KeyCopy[]>;
}
