import { KeyfoldError } from '../errors.ts';
import type { EpochSeconds } from '../records/ids.ts';
import { MAX_AHEAD_MS } from './crypto-policy.ts';
import { isDatedAhead } from './key-standing.ts';
import type { EnvelopeKeyRecord } from './ports.ts';
import type { Clock } from '../async/clock.ts';

/** The functions that {@link findKey} uses to read an ID's rows, and to decide which of their keys may seal. */
export interface KeySearch<K> {
  readonly now: Clock;
  /** Reads the latest row, as `Metastore.loadLatest` does. */
  readonly latest: () => Promise<EnvelopeKeyRecord | undefined>;
  /** Reads recent rows, as `Metastore.loadRecent` does. Resolves with undefined if the metastore lacks that method. */
  readonly recent: (notAfter: EpochSeconds) => Promise<readonly EnvelopeKeyRecord[] | undefined>;
  /** Makes the key of a record. Returns undefined if that key must not seal. Throws if the partition is erased. */
  readonly use: (record: EnvelopeKeyRecord) => Promise<K | undefined>;
  /**
   * Whether this process has retired a key at its usage limit. Other processes do not know that, and would continue to
   * use the key because of its later date. So an older key must not replace the exhausted key.
   */
  readonly isExhausted?: (record: EnvelopeKeyRecord) => boolean;
}

/**
 * The key that may seal, if there is one. If not, the rows that were read, latest first. Rows that are dated too far
 * ahead are omitted.
 */
export type FoundKey<K> = { readonly key: K } | { readonly rows: readonly EnvelopeKeyRecord[] };

/**
 * Finds the newest key that may seal. If the latest row is dated ahead of the clock and must not seal, the function
 * tries older rows. Nearly every search takes one query.
 * @throws KeyfoldError `KeyRowUnreadable` if the latest row cannot be read, unless `recent` shows that its date is too
 * far ahead
 */
export async function findKey<K>({ now, latest, recent, use, isExhausted }: KeySearch<K>): Promise<FoundKey<K>> {
  let unreadable: unknown;
  const newest = await latest().catch((error: unknown) => {
    if (!(error instanceof KeyfoldError && error.code === 'KeyRowUnreadable')) throw error;
    unreadable = error;
    return 'unreadable' as const;
  });
  if (newest === undefined) return { rows: [] };
  // A tombstone is always dated ahead. Pass it to `use`, which checks whether it is valid.
  if (newest !== 'unreadable' && (newest.erased !== undefined || !isDatedAhead(newest.created, now()))) {
    const key = await use(newest);
    if (key !== undefined) return { key };
    if (newest.created * 1000 <= now() || isExhausted?.(newest) === true) return { rows: [newest] };
  }
  const rows = await recent(Math.floor((now() + MAX_AHEAD_MS) / 1000) as EpochSeconds);
  if (rows === undefined) {
    if (unreadable === undefined) return { rows: [] };
    throw unreadable;
  }
  // If the latest row was unreadable, its date is now known to be too far ahead. If the row had any other date,
  // `recent` would have read it and thrown.
  for (const row of rows) {
    const isTried = newest !== 'unreadable' && row.created === newest.created;
    const key = isTried ? undefined : await use(row);
    if (key !== undefined) return { key };
  }
  return { rows };
}
