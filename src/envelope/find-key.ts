import { KeyfoldError } from './errors.ts';
import type { EpochSeconds } from './ids.ts';
import { isDatedAhead, MAX_AHEAD_MS } from './key-standing.ts';
import type { Clock, EnvelopeKeyRecord } from './ports.ts';

/** How {@link findKey} reads the rows of one id, and tells which of their keys may seal. */
export interface KeySearch<K> {
  readonly now: Clock;
  /** See `Metastore.loadLatest`. */
  readonly latest: () => Promise<EnvelopeKeyRecord | undefined>;
  /** See `Metastore.loadRecent`. */
  readonly recent: (notAfter: EpochSeconds) => Promise<readonly EnvelopeKeyRecord[]>;
  /** The key of a record, if it may seal. */
  readonly use: (record: EnvelopeKeyRecord) => Promise<K | undefined>;
  /** Whether a key has reached its usage limit. Then an older one does not take its place, since other processes cannot know that. */
  readonly isWorn?: (record: EnvelopeKeyRecord) => boolean;
}

/** A key that may seal, or else the rows that were read, latest first, without those dated too far ahead. */
export type FoundKey<K> = { readonly key: K } | { readonly rows: readonly EnvelopeKeyRecord[] };

/**
 * Finds the newest key that may seal. A row that is dated ahead and may not seal does not hide an older one.
 * Nearly always this is one query.
 * @throws KeyfoldError `KeyRowUnreadable` if the latest row cannot be read, and no older one stands behind it
 */
export async function findKey<K>({ now, latest, recent, use, isWorn }: KeySearch<K>): Promise<FoundKey<K>> {
  let unreadable: unknown;
  const newest = await latest().catch((error: unknown) => {
    // The row may be dated too far ahead, and then it does not hide an older one.
    if (!(error instanceof KeyfoldError) || error.code !== 'KeyRowUnreadable') throw error;
    unreadable = error;
    return 'unreadable' as const;
  });
  if (newest === undefined) return { rows: [] };
  if (newest !== 'unreadable' && !isDatedAhead(newest.created, now())) {
    const key = await use(newest);
    if (key !== undefined) return { key };
    if (newest.created * 1000 <= now() || isWorn?.(newest) === true) return { rows: [newest] };
  }
  const rows = await recent(Math.floor((now() + MAX_AHEAD_MS) / 1000) as EpochSeconds);
  if (rows.length === 0 && unreadable !== undefined) throw unreadable;
  for (const row of rows) {
    const isTried = newest !== 'unreadable' && row.created === newest.created;
    const key = isTried ? undefined : await use(row);
    if (key !== undefined) return { key };
  }
  return { rows };
}
