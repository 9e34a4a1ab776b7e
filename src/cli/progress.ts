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

/**
 * Shows how many items are done and how fast, in one line of the terminal that it overwrites. Shows nothing if standard
 * error is not a terminal.
 * @param items such as `rows`
 * @param total the number of items, if it is known. The line then also shows the remaining time.
 */
export function progressOf(items: string, { terminal, now }: CliDependencies, total?: number): Progress {
  const { status } = terminal;
  const steady = steadyClock(now);
  const beganMs = steady();
  let done = 0;
  let shownMs = beganMs + SHOWN_AFTER_MS - INTERVAL_MS;
  return {
    advance: (count = 1) => {
      done += count;
      const nowMs = steady();
      if (status === undefined || nowMs - shownMs < INTERVAL_MS) return;
      shownMs = nowMs;
      const rate = done / ((nowMs - beganMs) / 1000);
      const left = total === undefined ? '' : ` of ${total}, ${Math.ceil((total - done) / rate)} s left`;
      status(`${done} ${items}${left}, ${Math.round(rate)}/s`);
    },
    end: () => status?.(''),
  };
}
