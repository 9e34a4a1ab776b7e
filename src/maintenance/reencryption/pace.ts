import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../async/clock.ts';
import { MAX_TIMER_MS } from '../../async/deadline.ts';

/** Limits how much is spent per second, such as rows or capacity units. Idle time earns no extra allowance. */
export class Pace {
  readonly #perSecond: number;
  readonly #now: Clock;
  #freeAtMs = 0;
  #lastMs = 0;

  constructor(perSecond: number, now: Clock) {
    this.#perSecond = perSecond;
    this.#now = now;
  }

  /**
   * Spends an amount. Resolves when enough time has passed for all earlier amounts.
   * @param signal if it aborts, the wait ends early
   */
  async spend(amount: number, signal?: AbortSignal): Promise<void> {
    const nowMs = this.#now();
    // If the clock has stepped back, `#freeAtMs` is too far ahead by the size of the step. So reset it.
    if (nowMs < this.#lastMs) this.#freeAtMs = nowMs;
    this.#lastMs = nowMs;
    const atMs = Math.max(this.#freeAtMs, nowMs);
    this.#freeAtMs = atMs + (amount / this.#perSecond) * 1000;
    // At a very low rate, the wait can be longer than a timer's longest delay. So wait in several parts.
    for (let leftMs = atMs - nowMs; leftMs > 0; leftMs -= MAX_TIMER_MS) {
      if (signal?.aborted === true) return;
      await sleep(Math.min(leftMs, MAX_TIMER_MS), undefined, { signal }).catch(() => {});
    }
  }
}
