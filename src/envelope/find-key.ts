import { KeyfoldError } from '../errors.ts';
import type { EpochSeconds } from '../records/ids.ts';
import { isDatedAhead, MAX_AHEAD_MS } from './key-standing.ts';
import type { EnvelopeKeyRecord } from './ports.ts';
import type { Clock } from '../async/clock.ts';

/** How {@link findKey} reads the rows of one id, and tells which of their keys may seal. */
export interface KeySearch<K> {
  readonly now: Clock;
  /** See `Metastore.loadLatest`. */
  readonly latest: () => Promise<EnvelopeKeyRecord | undefined>;
  /** See `Metastore.loadRecent`; undefined if the metastore does not have it. */
  readonly recent: (notAfter: EpochSeconds) => Promise<readonly EnvelopeKeyRecord[] | undefined>;
  /** The key of a record, if it may seal. */
  readonly use: (record: EnvelopeKeyRecord) => Promise<K | undefined>;
  /** Whether a key has reached its usage limit. Then an older one does not take its place, since other processes cannot know that. */
  readonly isExhausted?: (record: EnvelopeKeyRecord) => boolean;
}

/** A key that may seal, or else the rows that were read, latest first, without those dated too far ahead. */
export type FoundKey<K> = { readonly key: K } | { readonly rows: readonly EnvelopeKeyRecord[] };

/**
 * Finds the newest key that may seal. A row that is dated ahead and may not seal does not hide an older one.
 * Nearly always this is one query.
 * @throws KeyfoldError `KeyRowUnreadable` if the latest row cannot be read, unless the metastore shows that it is dated too far ahead
 */
export async function findKey<K>({ now, latest, recent, use, isExhausted }: KeySearch<K>): Promise<FoundKey<K>> {
  let unreadable: unknown;
  const newest = await latest().catch((error: unknown) => {
    if (!(error instanceof KeyfoldError && error.code === 'KeyRowUnreadable')) throw error;
    unreadable = error;
    return 'unreadable' as const;
  });
  if (newest === undefined) return { rows: [] };
  if (newest !== 'unreadable' && !isDatedAhead(newest.created, now())) {
    const key = await use(newest);
    if (key !== undefined) return { key };
    if (newest.created * 1000 <= now() || isExhausted?.(newest) === true) return { rows: [newest] };
  }
  const rows = await recent(Math.floor((now() + MAX_AHEAD_MS) / 1000) as EpochSeconds);
  if (rows === undefined) {
    if (unreadable === undefined) return { rows: [] };
    throw unreadable;
  }
  // A row that cannot be read may be dated too far ahead. If it is not, the query for these rows has just thrown as the first did.
  for (const row of rows) {
    const isTried = newest !== 'unreadable' && row.created === newest.created;
    const key = isTried ? undefined : await use(row);
    if (key !== undefined) return { key };
  }
  return { rows };
}
