import { keyName, type KeyMeta } from '../records/ids.ts';
import type { Clock } from '../async/clock.ts';
import { ShortMemory } from '../async/short-memory.ts';

const REMEMBERED_MS = 1000;
const MAX_REMEMBERED = 10_000;

/** Remembers for a second which keys the metastore does not have, so that a flood of records with invented keys costs few reads. */
export class AbsentKeys {
  readonly #memory: ShortMemory<true>;

  constructor(now: Clock) {
    this.#memory = new ShortMemory(now, REMEMBERED_MS, MAX_REMEMBERED);
  }

  /** Whether the key was absent less than a second ago. */
  has(key: KeyMeta): boolean {
    return this.#memory.get(keyName(key)) ?? false;
  }

  add(key: KeyMeta): void {
    this.#memory.set(keyName(key), true);
  }
}
