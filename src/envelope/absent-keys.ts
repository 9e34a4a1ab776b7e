import { keyName, type KeyMeta } from '../records/ids.ts';
import type { Clock } from '../async/clock.ts';
import { ShortMemory } from '../async/short-memory.ts';

const TTL_MS = 1000;
const MAX_ENTRIES = 10_000;

/**
 * Remembers for one second that the metastore has no row for a key. A flood of records that name an invented key then
 * costs few reads.
 */
export class AbsentKeys {
  readonly #memory: ShortMemory<true>;

  constructor(now: Clock) {
    this.#memory = new ShortMemory(now, TTL_MS, MAX_ENTRIES);
  }

  /** Whether the key was absent from the metastore within the last second. */
  has(key: KeyMeta): boolean {
    return this.#memory.get(keyName(key)) ?? false;
  }

  add(key: KeyMeta): void {
    this.#memory.set(keyName(key), true);
  }
}
