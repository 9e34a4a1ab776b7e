import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../async/clock.ts';

/** Bounds how much is spent per second, such as rows or capacity units. An idle second is not saved up. */
export class Pace {
  readonly #perSecond: number;
  readonly #now: Clock;
  #freeAtMs = 0;
  #lastMs = 0;

  constructor(perSecond: number, now: Clock) {
    this.#perSecond = perSecond;
    this.#now = now;
  }

  /** Spends an amount, and resolves when what was spent before is paid off. */
  async spend(amount: number): Promise<void> {
    const nowMs = this.#now();
    // If the clock steps back, the old end would lie as far ahead as the step.
    if (nowMs < this.#lastMs) this.#freeAtMs = nowMs;
    this.#lastMs = nowMs;
    const atMs = Math.max(this.#freeAtMs, nowMs);
    this.#freeAtMs = atMs + (amount / this.#perSecond) * 1000;
    if (atMs > nowMs) await sleep(atMs - nowMs);
  }
}
