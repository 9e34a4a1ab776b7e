import { KeyfoldError } from '../errors.ts';
import { keyName, type KeyMeta } from '../records/ids.ts';
import type { Clock } from '../async/clock.ts';
import { ShortMemory } from '../async/short-memory.ts';

/** After a row is repaired, processes read it again within this time. */
const REMEMBERED_MS = 5000;
const MAX_REMEMBERED = 1000;

/**
 * Remembers which key rows were unreadable. Without this, each request for such a row would read it again and make KMS calls for each
 * of its wraps.
 */
export class UnreadableRows {
  readonly #memory: ShortMemory<KeyfoldError>;
  /** The remembered errors. The error of a System Key also passes through the load of its Intermediate Key, and must not be remembered twice. */
  readonly #remembered = new WeakSet<KeyfoldError>();

  constructor(now: Clock) {
    this.#memory = new ShortMemory(now, REMEMBERED_MS, MAX_REMEMBERED);
  }

  /**
   * Loads the key with exactly this id and creation time.
   * @throws KeyfoldError `KeyRowUnreadable` without loading, if a load failed with it less than five seconds ago
   * @throws what the load throws
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
