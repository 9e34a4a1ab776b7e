import type { Clock } from './clock.ts';

/**
 * What a process remembers of single keys for a moment, so that a flood of requests for the same key costs little. It is bounded
 * in time and in number: the oldest goes first.
 */
export class ShortMemory<T> {
  readonly #now: Clock;
  readonly #rememberMs: number;
  readonly #maxEntries: number;
  readonly #entries = new Map<string, { readonly value: T; readonly untilMs: number }>();

  /** @param rememberMs for how many milliseconds a value is remembered */
  constructor(now: Clock, rememberMs: number, maxEntries: number) {
    this.#now = now;
    this.#rememberMs = rememberMs;
    this.#maxEntries = maxEntries;
  }

  /** What was remembered under a name a moment ago; undefined if nothing was, or if that is too long ago. */
  get(name: string): T | undefined {
    const entry = this.#entries.get(name);
    return entry !== undefined && this.#now() < entry.untilMs ? entry.value : undefined;
  }

  /** Remembers a value from now on. */
  set(name: string, value: T): void {
    this.#entries.delete(name);
    this.#entries.set(name, { value, untilMs: this.#now() + this.#rememberMs });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.#maxEntries && oldest !== undefined) this.#entries.delete(oldest);
  }
}
