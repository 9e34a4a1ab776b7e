import { keyKindOf } from '../records/ids.ts';
import { formatDuration } from './text.ts';

/** How long a warm process may use a cached key before it notices a revocation. Durations are in milliseconds. */
export interface CacheBounds {
  /** Before a process seals with a key, it reads the key's row again if its last read is older than this. */
  readonly revokeCheckIntervalMs: number;
  /**
   * If the metastore is down when a process must read the row, the process may continue to seal with the key for this
   * long.
   */
  readonly staleGraceMs: number;
}

/**
 * Returns when the last warm process stops sealing with a revoked key if the metastore is up, as ISO 8601.
 * @param writtenAtMs when the row was flagged, in milliseconds since 1970
 */
export function latestBy(bounds: CacheBounds, writtenAtMs: number): string {
  return new Date(writtenAtMs + bounds.revokeCheckIntervalMs).toISOString();
}

/**
 * Explains the time of {@link latestBy} to an operator, and says how much longer an outage of the metastore can make
 * it.
 */
export function latestByInWords(bounds: CacheBounds, writtenAtMs: number): string {
  const { revokeCheckIntervalMs, staleGraceMs } = bounds;
  const interval = `${formatDuration(revokeCheckIntervalMs)} (revokeCheckInterval) after the write`;
  const grace = `plus staleGrace (${formatDuration(staleGraceMs)}) while the metastore is down`;
  return `${latestBy(bounds, writtenAtMs)}: ${interval}, ${grace}`;
}

/**
 * Explains to an operator which encrypt requests a revocation stops, and by when. Returns pairs of a label and a
 * sentence. docs/explanation/revocation.md explains them.
 * @param region the region at the end of the key's ID. Undefined if the ID has none.
 */
export function reachOf(
  id: string,
  region: string | undefined,
  bounds: CacheBounds,
  writtenAtMs: number,
): [string, string][] {
  const whose = region === undefined ? '' : ` in ${region}, where alone it is sealed with`;
  const reaches: [string, string][] =
    keyKindOf(id) === 'system'
      ? [
          [
            'reaches',
            `new encrypts of every partition of the service${whose}: no Intermediate Key under it seals more,`,
          ],
          ['', "and each partition's next encrypt makes one under another System Key"],
        ]
      : [['reaches', `new encrypts of this partition${whose}: the next one seals under another key`]];
  return [
    ...reaches,
    ['at once', 'processes that look the key up afresh'],
    ['latest', `warm processes by ${latestByInWords(bounds, writtenAtMs)}`],
    ['keeps', 'what it sealed still decrypts; rewrap moves a record under the latest key'],
  ];
}
