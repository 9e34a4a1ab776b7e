import type { KeyMeta } from './ids.ts';
import type { Clock } from './ports.ts';

const REMEMBERED_MS = 1000;
const MOST_REMEMBERED = 10_000;

/**
 * Keys that the metastore has just said it does not have, so that a flood of records with made-up keys costs few reads.
 * Bounded in time and number: the oldest goes first.
 */
export class AbsentKeys {
  readonly #untilMs = new Map<string, number>();
  readonly #ages: Clock;

  constructor(ages: Clock) {
    this.#ages = ages;
  }

  /** Whether the key was absent a moment ago. */
  has({ id, created }: KeyMeta): boolean {
    const untilMs = this.#untilMs.get(`${created} ${id}`);
    return untilMs !== undefined && this.#ages() < untilMs;
  }

  add({ id, created }: KeyMeta): void {
    const name = `${created} ${id}`;
    this.#untilMs.delete(name);
    this.#untilMs.set(name, this.#ages() + REMEMBERED_MS);
    const [oldest] = this.#untilMs.keys();
    if (this.#untilMs.size > MOST_REMEMBERED && oldest !== undefined) this.#untilMs.delete(oldest);
  }
}
