import type { Clock } from '../async/clock.ts';
import type { AppConfig } from '../config/app-config.ts';
import type { ErasureTables } from '../maintenance/erasure-table.ts';
import type { CliDependencies } from './dependencies.ts';
import { isoOf } from './text.ts';

/** If the clocks differ by more than this, keys get wrong dates, and AWS may soon refuse signatures. */
export const MAX_CLOCK_OFFSET_MS = 60_000;

/**
 * Compares this machine's clock with the table's. The waiting time of an erasure depends on this machine's clock.
 * @returns why the command must not rely on this machine's clock. Undefined if the clocks agree.
 * @throws KeyfoldError `MetastoreUnavailable`
 */
export async function clockFaultOf(tables: ErasureTables, now: Clock): Promise<string | undefined> {
  const offsetMs = await tables.clockOffsetMs();
  if (offsetMs === undefined) return 'the responses of the table have no date to compare the clock with';
  if (Math.abs(offsetMs) <= MAX_CLOCK_OFFSET_MS) return undefined;
  const [own, other] = [now(), now() + offsetMs].map((ms) => isoOf(ms / 1000) ?? '?');
  const seconds = MAX_CLOCK_OFFSET_MS / 1000;
  return (
    `this machine's clock shows ${own}, and the table's shows ${other}: they may differ by at most ${seconds} s. ` +
    'Set this clock by NTP.'
  );
}

/**
 * Stops a command if this machine's clock is wrong.
 * - New keys get their date from this clock. Other processes never seal under a key whose date is far ahead, or earlier
 *   than that of another valid key. So they would ignore the new keys, although the command has succeeded.
 * - A report for `keys retire-check` gets its date from this clock. If the clock is ahead, the report may seem to begin
 *   after the end of a key that still seals.
 * @throws Error if this machine's clock and the table's differ, or cannot be compared
 * @throws KeyfoldError `MetastoreUnavailable`
 */
export async function mustAgreeWithTable(
  { metastore, names }: Pick<AppConfig, 'metastore' | 'names'>,
  dependencies: CliDependencies,
): Promise<void> {
  const fault = await clockFaultOf(dependencies.openErasureTables(metastore, names), dependencies.now);
  if (fault !== undefined) throw new Error(fault);
}
