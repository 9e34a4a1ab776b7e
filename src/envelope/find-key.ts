import { KeyfoldError } from '../errors.ts';
import type { EpochSeconds } from '../records/ids.ts';
import { isDatedAhead, MAX_AHEAD_MS } from './key-standing.ts';
import type { EnvelopeKeyRecord } from './ports.ts';
import type { Clock } from '../async/clock.ts';

/** How {@link findKey} reads the rows of one id and decides which of their keys may seal. */
export interface KeySearch<K> {
  readonly now: Clock;
  /** See `Metastore.loadLatest`. */
  readonly latest: () => Promise<EnvelopeKeyRecord | undefined>;
  /** See `Metastore.loadRecent`; gives undefined if the metastore does not have this method. */
  readonly recent: (notAfter: EpochSeconds) => Promise<readonly EnvelopeKeyRecord[] | undefined>;
  /** Gives the key of a row if it may seal. */
  readonly use: (record: EnvelopeKeyRecord) => Promise<K | undefined>;
  /** Whether a key has reached its usage limit. No older key replaces it, because other processes do not know the limit was reached. */
  readonly isExhausted?: (record: EnvelopeKeyRecord) => boolean;
}

/** A key that may seal, or the rows that were read, latest first. Rows dated too far in the future are left out. */
export type FoundKey<K> = { readonly key: K } | { readonly rows: readonly EnvelopeKeyRecord[] };

/**
 * Finds the newest key that may seal. If the latest row is dated too far in the future, older rows are tried. Nearly always, one query is
 * enough.
 * @throws KeyfoldError `KeyRowUnreadable` if the latest row cannot be read, unless it turns out to be dated too far in the future
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
  // An unreadable latest row may be dated too far in the future. If it is not, the query for recent rows has just thrown for it, too.
  for (const row of rows) {
    const isTried = newest !== 'unreadable' && row.created === newest.created;
    const key = isTried ? undefined : await use(row);
    if (key !== undefined) return { key };
  }
  return { rows };
}
