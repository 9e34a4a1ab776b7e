import { keyKindOf } from '../records/ids.ts';
import { formatDuration } from './text.ts';

/** For how long processes go on believing what they read of a key; the policy of those that a revocation is to reach. */
export interface BeliefBounds {
  /** Past this, a process reads a key's row again before it seals with it. */
  readonly revokeCheckIntervalMs: number;
  /** For how much longer it seals where the metastore is down by then. */
  readonly staleGraceMs: number;
}

/** When the last warm process has stopped, as ISO 8601, for a row written at `writtenAtMs` (milliseconds since 1970). */
export function latestBy(bounds: BeliefBounds, writtenAtMs: number): string {
  return new Date(writtenAtMs + bounds.revokeCheckIntervalMs).toISOString();
}

/** {@link latestBy} in words, with what it is made of. */
export function latestByInWords(bounds: BeliefBounds, writtenAtMs: number): string {
  const { revokeCheckIntervalMs, staleGraceMs } = bounds;
  const interval = `${formatDuration(revokeCheckIntervalMs)} (revokeCheckInterval) after the write`;
  const grace = `plus staleGrace (${formatDuration(staleGraceMs)}) while the metastore is down`;
  return `${latestBy(bounds, writtenAtMs)}: ${interval}, ${grace}`;
}

/**
 * What a revocation reaches and by when, as names and values for a person to read; docs/revocation.md says why it is so.
 * @param region the one that ends the key's id; undefined for an id without
 */
export function reachOf(
  id: string,
  region: string | undefined,
  bounds: BeliefBounds,
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
