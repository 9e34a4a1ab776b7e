import type { Clock } from './clock.ts';

/**
 * Remembers values by name for a limited time. When it is full, it drops the oldest value.
 */
export class ShortMemory<T> {
  readonly #now: Clock;
  readonly #rememberMs: number;
  readonly #maxEntries: number;
  readonly #entries = new Map<string, { readonly value: T; readonly untilMs: number }>();

  /** @param rememberMs how long a value is remembered, in milliseconds */
  constructor(now: Clock, rememberMs: number, maxEntries: number) {
    this.#now = now;
    this.#rememberMs = rememberMs;
    this.#maxEntries = maxEntries;
  }

  /** Returns the value that is remembered under a name. Returns undefined if there is none, or if it has expired. */
  get(name: string): T | undefined {
    const entry = this.#entries.get(name);
    return entry !== undefined && this.#now() < entry.untilMs ? entry.value : undefined;
  }

  /** Remembers a value. Its lifetime starts now, even if the name already had a value. */
  set(name: string, value: T): void {
    this.#entries.delete(name);
    this.#entries.set(name, { value, untilMs: this.#now() + this.#rememberMs });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.#maxEntries && oldest !== undefined) this.#entries.delete(oldest);
  }
}
