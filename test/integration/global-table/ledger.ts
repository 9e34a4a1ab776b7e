import type { KeyRow } from '../../../src/maintenance/key-table.ts';
import type { DataRowRecord, EnvelopeKeyRecord, KeyMeta } from '../../../src/index.ts';
import { MINUTE_MS } from '../../support/fakes.ts';
import type { Region } from './two-regions.ts';

/** A record that a process returned to its caller, and that must not be lost. */
export interface Entry {
  readonly number: number;
  readonly partition: string;
  readonly payload: Buffer;
  readonly record: DataRowRecord;
  /** The region in which the record was sealed. */
  readonly home: Region;
  /** Whether the record's keys have a region suffix. Processes without a suffix cannot read such keys. */
  readonly suffixed: boolean;
  /** The record's Intermediate Key, and the System Key above it. */
  readonly keys: readonly KeyMeta[];
}

/** How long a process remembers that a row is absent. */
const ABSENCE_MS = 1000;
/**
 * If an absent key is older than this, Keyfold reports the record as unreadable, instead of reporting the key as not
 * yet visible.
 */
const ON_ITS_WAY_MS = 15 * MINUTE_MS;

/** Computes, from the processes' actions alone, what the two replicas must contain. It does not read the replicas. */
export class Ledger {
  readonly entries: Entry[] = [];
  readonly #lagMs: number;
  /** When each row must be in both replicas. Infinity while the replicas are disconnected. */
  readonly #everywhereByMs = new Map<string, number>();
  readonly #revokedAtMs = new Map<string, number>();
  #cut = false;

  constructor(lagMs: number) {
    this.#lagMs = lagMs;
  }

  /** Enters a record that a process has returned. The table must already contain the record's keys. */
  enter(entry: Entry, nowMs: number): void {
    this.entries.push(entry);
    for (const key of entry.keys) {
      const name = rowName(key);
      if (!this.#everywhereByMs.has(name)) this.#everywhereByMs.set(name, this.#cut ? Infinity : nowMs + this.#lagMs);
    }
  }

  revoked(key: KeyMeta, nowMs: number): void {
    if (!this.#revokedAtMs.has(rowName(key))) this.#revokedAtMs.set(rowName(key), nowMs);
  }

  /** How long a key has been revoked in the replica of its region. -Infinity if it is not revoked. */
  revokedForMs(key: KeyMeta, nowMs: number): number {
    return nowMs - (this.#revokedAtMs.get(rowName(key)) ?? Infinity);
  }

  cut(nowMs: number): void {
    this.#cut = true;
    for (const [name, byMs] of this.#everywhereByMs) if (byMs > nowMs) this.#everywhereByMs.set(name, Infinity);
  }

  heal(nowMs: number): void {
    this.#cut = false;
    for (const [name, byMs] of this.#everywhereByMs)
      if (byMs === Infinity) this.#everywhereByMs.set(name, nowMs + this.#lagMs);
  }

  /**
   * Whether this error code is allowed if a process fails to open a record while KMS works.
   * @param clockMs the time on the process's own clock
   */
  mayFail(entry: Entry, where: { region: Region; nowMs: number; clockMs: number }, code: string): boolean {
    const byMs = Math.max(...entry.keys.map((key) => this.#everywhereByMs.get(rowName(key)) ?? 0));
    if (where.region === entry.home || where.nowMs >= byMs + ABSENCE_MS) return false;
    if (code === 'KeyNotYetVisible') return true;
    const ageMs = where.clockMs - entry.record.key.parent.created * 1000;
    return ageMs >= ON_ITS_WAY_MS && (code === 'RecordUnreadable' || code === 'KeyRowUnreadable');
  }
}

/** A row of a replica, as it was last seen. */
interface Seen {
  readonly revoked: boolean;
  /** The sealed key, without its wraps. */
  readonly sealed: string;
  /** The regions that wrap the key. Empty for an Intermediate Key. */
  readonly regions: readonly string[];
}

/** Watches a replica, in which no revocation, wrap or row may ever disappear. */
export class ReplicaWatch {
  readonly #region: Region;
  readonly #seen = new Map<string, Seen>();

  constructor(region: Region) {
    this.#region = region;
  }

  /** Lists the revocations, wraps and rows that have disappeared since the last call. */
  look(rows: readonly KeyRow[]): string[] {
    const now = new Map(rows.map((row) => [rowName(row), 'unreadable' in row ? undefined : seenOf(row)]));
    const undone: string[] = [];
    const note = (name: string, what: string): unknown => undone.push(`${what}: ${name} in ${this.#region}`);
    for (const [name, before] of this.#seen) {
      const after = now.get(name);
      if (after === undefined) note(name, 'row gone');
      else if (after.sealed !== before.sealed) note(name, 'key replaced');
      else if (before.regions.some((region) => !after.regions.includes(region))) note(name, 'wrap lost');
      if (before.revoked && after?.revoked === false) note(name, 'revocation undone');
    }
    for (const [name, seen] of now) if (seen !== undefined) this.#seen.set(name, seen);
    return undone;
  }
}

function seenOf(row: EnvelopeKeyRecord): Seen {
  const wraps = row.parent === undefined ? wrapsOf(row) : undefined;
  const sealed = wraps?.sealed ?? Buffer.from(row.encryptedKey).toString('base64');
  return { revoked: row.revoked, sealed, regions: wraps?.regions ?? [] };
}

/** Reads the wraps of a System Key: the sealed key, and the regions that can open it. */
export function wrapsOf({ encryptedKey }: EnvelopeKeyRecord): { sealed: string; regions: string[] } {
  const envelope = JSON.parse(Buffer.from(encryptedKey).toString()) as {
    encryptedKey: string;
    kmsKeks: { region: string }[];
  };
  return { sealed: envelope.encryptedKey, regions: envelope.kmsKeks.map(({ region }) => region) };
}

/** A row's primary key as text. */
export function rowName({ id, created }: { id: string; created: number | undefined }): string {
  return `${id} ${created}`;
}
