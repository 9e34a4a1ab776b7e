import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../async/clock.ts';

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

  /** Spends an amount. Resolves when enough time has passed for all earlier amounts. */
  async spend(amount: number): Promise<void> {
    const nowMs = this.#now();
    // If the clock steps back, the old end would be too far ahead, by the size of the step.
    if (nowMs < this.#lastMs) this.#freeAtMs = nowMs;
    this.#lastMs = nowMs;
    const atMs = Math.max(this.#freeAtMs, nowMs);
    this.#freeAtMs = atMs + (amount / this.#perSecond) * 1000;
    if (atMs > nowMs) await sleep(atMs - nowMs);
  }
}
