import { KeyfoldError } from '../errors.ts';
import { keyName, type KeyMeta } from '../records/ids.ts';
import type { Clock } from '../async/clock.ts';
import { ShortMemory } from '../async/short-memory.ts';

/**
 * How long an error is remembered. After an operator has repaired a row, a process may still refuse the row for this
 * long.
 */
const TTL_MS = 5000;
const MAX_ENTRIES = 1000;

/**
 * Remembers key rows that were unreadable in the last five seconds. Otherwise, each request for such a row would read
 * the row again, and would call KMS for each wrap in the row.
 */
export class UnreadableRows {
  readonly #memory: ShortMemory<KeyfoldError>;
  /**
   * Errors that are already remembered. The error of a System Key also ends the load of its Intermediate Keys. If that
   * load remembered the error again, requests would fail for ten seconds instead of five.
   */
  readonly #remembered = new WeakSet<KeyfoldError>();

  constructor(now: Clock) {
    this.#memory = new ShortMemory(now, TTL_MS, MAX_ENTRIES);
  }

  /**
   * Calls `load`, unless the row of this key was unreadable within the last five seconds.
   * @throws KeyfoldError `KeyRowUnreadable`, the remembered error, if the row was unreadable
   * @throws any error that `load` throws
   */
  async unlessKnown<T>(key: KeyMeta, load: () => Promise<T>): Promise<T> {
    const name = keyName(key);
    const known = this.#memory.get(name);
    if (known !== undefined) throw known;
    try {
      return await load();
    } catch (error) {
      if (error instanceof KeyfoldError && error.code === 'KeyRowUnreadable' && !this.#remembered.has(error)) {
        this.#remembered.add(error);
        this.#memory.set(name, error);
      }
      throw error;
    }
  }
}
