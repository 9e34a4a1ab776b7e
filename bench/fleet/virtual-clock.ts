import { setImmediate } from 'node:timers/promises';
import { orAborted } from '../../src/async/deadline.ts';

/** A timer that was set; without its callback once it is cleared. */
interface VirtualTimer {
  fire: (() => void) | undefined;
}

/**
 * Time that passes as fast as the work allows. While {@link run} runs, `setTimeout`, `clearTimeout` and `Math.random`
 * are the clock's: the code under it, the AWS SDK's too, cannot tell. It counts whole milliseconds, as `Date.now` does.
 */
export class VirtualClock {
  #nowMs = 0;
  readonly #due = new Map<number, VirtualTimer[]>();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  readonly now = (): number => this.#nowMs;

  /** Calls back at a moment that has not passed. */
  at(atMs: number, fire: () => void): VirtualTimer {
    const timer: VirtualTimer = { fire };
    const others = this.#due.get(atMs);
    if (others === undefined) this.#due.set(atMs, [timer]);
    else others.push(timer);
    return timer;
  }

  /** Calls back after so long, a millisecond at the least, as `setTimeout` does. */
  after(ms: number, fire: () => void): VirtualTimer {
    return this.at(this.#nowMs + Math.max(1, Math.round(ms)), fire);
  }

  /** Resolves after so long; rejects with the signal's reason where that comes first. */
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    let timer: VirtualTimer | undefined;
    const slept = new Promise<void>((resolve) => (timer = this.after(ms, resolve)));
    if (signal === undefined) return slept;
    try {
      await orAborted(slept, signal);
    } finally {
      if (timer !== undefined) timer.fire = undefined;
    }
  }

  /** Lets time pass from one moment to another. What one moment's timers set off has settled before the next comes. */
  async run(fromMs: number, toMs: number): Promise<void> {
    const restore = this.#takeOver();
    try {
      for (this.#nowMs = fromMs; this.#nowMs <= toMs; this.#nowMs += 1) {
        for (let timers = this.#take(); timers !== undefined; timers = this.#take()) {
          for (const { fire } of timers) fire?.();
          await setImmediate();
        }
      }
    } finally {
      restore();
    }
  }

  #take(): VirtualTimer[] | undefined {
    const timers = this.#due.get(this.#nowMs);
    this.#due.delete(this.#nowMs);
    return timers;
  }

  /** Puts the clock in the place of the process's timers and chance. */
  #takeOver(): () => void {
    const { setTimeout, clearTimeout } = globalThis;
    const { random } = Math;
    globalThis.setTimeout = ((fire: () => void, ms = 0) => this.after(ms, fire)) as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((timer: VirtualTimer | undefined) => {
      if (timer !== undefined) timer.fire = undefined;
    }) as unknown as typeof clearTimeout;
    Math.random = this.#random;
    return () => {
      Object.assign(globalThis, { setTimeout, clearTimeout });
      Math.random = random;
    };
  }
}
