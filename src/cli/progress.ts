import { steadyClock } from '../async/clock.ts';
import type { CliDependencies } from './dependencies.ts';

/** If work takes less time than this, no progress line appears. */
const SHOWN_AFTER_MS = 1000;
const INTERVAL_MS = 250;

/** The progress line of a longer command. */
export interface Progress {
  advance(count?: number): void;
  /** Removes the progress line from the terminal. */
  end(): void;
}

/** The number of items, or a function that estimates it from the number of finished items. */
export type Total = number | ((done: number) => number | undefined);

/**
 * Shows how many items are finished, and how many are finished per second. The function overwrites one line of the
 * terminal. Shows nothing if standard error is not a terminal.
 * @param items such as `rows`
 * @param total if it is known, the line also shows the remaining time
 * @param doneBefore how many items an earlier run has done
 */
export function progressOf(items: string, { terminal, now }: CliDependencies, total?: Total, doneBefore = 0): Progress {
  const { status } = terminal;
  const steady = steadyClock(now);
  const beganMs = steady();
  let done = doneBefore;
  let shownMs = beganMs + SHOWN_AFTER_MS - INTERVAL_MS;
  return {
    advance: (count = 1) => {
      done += count;
      const nowMs = steady();
      if (status === undefined || nowMs - shownMs < INTERVAL_MS) return;
      shownMs = nowMs;
      const rate = (done - doneBefore) / ((nowMs - beganMs) / 1000);
      status(`${done} ${items}${leftOf(total, done, rate)}, ${Math.round(rate)}/s`);
    },
    end: () => status?.(''),
  };
}

function leftOf(total: Total | undefined, done: number, rate: number): string {
  const isEstimate = typeof total === 'function';
  const all = isEstimate ? total(done) : total;
  // An estimate may be too low, for example for a table that has grown. If no item is finished yet, the estimate may be
  // NaN.
  if (all === undefined || !(all >= done) || rate === 0) return '';
  return ` of ${isEstimate ? 'about ' : ''}${all}, ${Math.ceil((all - done) / rate)} s left`;
}
