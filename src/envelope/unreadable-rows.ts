import { KeyfoldError } from '../errors.ts';
import { keyName, type KeyMeta } from '../records/ids.ts';
import type { Clock } from '../async/clock.ts';
import { ShortMemory } from '../async/short-memory.ts';

/** A row that was repaired is read again after this long at the latest. */
const REMEMBERED_MS = 5000;
const MAX_REMEMBERED = 1000;

/**
 * Key rows that have just turned out to be unreadable. Without it, each request for such a row would read it again and make KMS
 * calls for each of its wraps.
 */
export class UnreadableRows {
  readonly #memory: ShortMemory<KeyfoldError>;
  /** A System Key's error passes through the load of an Intermediate Key. Remembered there again, it would last twice as long. */
  readonly #remembered = new WeakSet<KeyfoldError>();

  constructor(now: Clock) {
    this.#memory = new ShortMemory(now, REMEMBERED_MS, MAX_REMEMBERED);
  }

  /**
   * Loads a key of that very id and time.
   * @throws KeyfoldError `KeyRowUnreadable` without loading if that was the answer a moment ago, or whatever the load throws
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
