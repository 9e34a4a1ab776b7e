import { setImmediate } from 'node:timers/promises';
import { orAborted } from '../../src/async/deadline.ts';

/** A virtual timer. Its callback is undefined once the timer has been cleared. */
interface VirtualTimer {
  fire: (() => void) | undefined;
}

/**
 * A virtual clock that runs as fast as the simulated code. During {@link run} it replaces `setTimeout`, `clearTimeout`
 * and `Math.random`, also for the AWS SDK. It counts whole milliseconds.
 */
export class VirtualClock {
  #nowMs = 0;
  readonly #due = new Map<number, VirtualTimer[]>();
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  readonly now = (): number => this.#nowMs;

  /** Calls a function at a virtual time that is not in the past. */
  at(atMs: number, fire: () => void): VirtualTimer {
    const timer: VirtualTimer = { fire };
    const others = this.#due.get(atMs);
    if (others === undefined) this.#due.set(atMs, [timer]);
    else others.push(timer);
    return timer;
  }

  /** Calls a function after a delay of at least one millisecond, as `setTimeout` does. */
  after(ms: number, fire: () => void): VirtualTimer {
    return this.at(this.#nowMs + Math.max(1, Math.round(ms)), fire);
  }

  /** Resolves after a delay. Rejects with the signal's abort reason if the signal is aborted first. */
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

  /**
   * Runs the timers in order of time. The clock advances only after all work that the current timers started has ended.
   */
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

  /** Replaces the timers and the random numbers of the process. Returns a function that restores them. */
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
