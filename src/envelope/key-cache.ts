import type { EnvelopeKey } from './envelope-key.ts';
import { keyName, type EpochSeconds, type KeyId } from '../records/ids.ts';
import type { Clock } from '../async/clock.ts';

/** What bounds a {@link KeyCache}. */
export interface KeyCacheLimits {
  readonly maxKeys: number;
  readonly maxAgeMs: number;
  /** How much longer a key is held, to be asked for as stale. */
  readonly graceMs: number;
  /** Told when a key is dropped because the cache is full. */
  readonly evicted: () => void;
}

/**
 * Keys in the clear, kept between requests: at most so many, the least recently used going first, each for at most so
 * long. It holds no request's data and no decisions: who uses a key says whether it still may be.
 */
export class KeyCache {
  readonly #limits: KeyCacheLimits;
  readonly #now: Clock;
  /** In the order of last use, oldest first. */
  readonly #keys = new Map<string, EnvelopeKey>();
  readonly #latest = new Map<KeyId, EnvelopeKey>();
  /** The last of `#keys`, which a hit on it need not move there again. */
  #newest: EnvelopeKey | undefined;
  #sweptAtMs: number;

  constructor(limits: KeyCacheLimits, now: Clock) {
    this.#limits = limits;
    this.#now = now;
    this.#sweptAtMs = now();
  }

  /** How many keys are held. */
  get size(): number {
    return this.#keys.size;
  }

  /** The key of that very id and time; undefined where it is not held or has been for too long. */
  get(id: KeyId, created: EpochSeconds): EnvelopeKey | undefined {
    return this.#use(this.#find(id, created));
  }

  /** The key that was put to seal with; undefined where there is none or it has been held for too long. */
  latest(id: KeyId): EnvelopeKey | undefined {
    return this.#use(this.#latest.get(id));
  }

  /** As {@link get}, or as {@link latest} without a time, but also in the grace that follows the maximum age. */
  stale(id: KeyId, created?: EpochSeconds): EnvelopeKey | undefined {
    const key = created === undefined ? this.#latest.get(id) : this.#find(id, created);
    return key === undefined || this.#isPast(key, this.#limits.graceMs, this.#now()) ? undefined : key;
  }

  /** Holds a key, in the place of one of the same id and time. */
  put(key: EnvelopeKey): void {
    // Loaded again, it takes the place of its older copy wherever that is held.
    if (isSameKey(this.#latest.get(key.standing.id), key)) this.#latest.set(key.standing.id, key);
    this.#touch(key);
    if (this.#keys.size > this.#limits.maxKeys) {
      this.#drop(this.#keys.values().next().value);
      this.#limits.evicted();
    }
    this.#sweep();
  }

  /** Holds a key to seal with, unless a later one of its id is held as that and is not retired. */
  putLatest(key: EnvelopeKey, isRetired: (held: EnvelopeKey) => boolean): void {
    const latest = this.#latest.get(key.standing.id);
    if (latest === undefined || latest.standing.created <= key.standing.created || isRetired(latest)) {
      this.#latest.set(key.standing.id, key);
    }
    this.put(key);
  }

  #use(key: EnvelopeKey | undefined): EnvelopeKey | undefined {
    if (key === undefined) return undefined;
    const nowMs = this.#now();
    if (this.#isPast(key, 0, nowMs)) {
      if (this.#isPast(key, this.#limits.graceMs, nowMs)) {
        this.#drop(key);
        return undefined;
      }
      if (nowMs >= key.staleUntilMs) return undefined;
    }
    this.#touch(key);
    return key;
  }

  #touch(key: EnvelopeKey): void {
    if (key === this.#newest) return;
    this.#newest = key;
    const name = keyName(key.standing);
    this.#keys.delete(name);
    this.#keys.set(name, key);
  }

  #find(id: KeyId, created: EpochSeconds): EnvelopeKey | undefined {
    const latest = this.#latest.get(id);
    return latest?.standing.created === created ? latest : this.#keys.get(keyName({ id, created }));
  }

  /** Whether the key's maximum age, and so much more, is over. */
  #isPast(key: EnvelopeKey, graceMs: number, nowMs: number): boolean {
    return nowMs - key.loadedAtMs >= this.#limits.maxAgeMs + graceMs;
  }

  #drop(key: EnvelopeKey | undefined): void {
    if (key === undefined) return;
    const { id, created } = key.standing;
    this.#keys.delete(keyName({ id, created }));
    this.#newest = undefined;
    if (isSameKey(this.#latest.get(id), key)) this.#latest.delete(id);
  }

  /** Drops keys that nobody asks for any more, once in a maximum age. */
  #sweep(): void {
    const { maxAgeMs, graceMs } = this.#limits;
    const nowMs = this.#now();
    if (nowMs - this.#sweptAtMs < maxAgeMs) return;
    this.#sweptAtMs = nowMs;
    for (const key of this.#keys.values()) if (this.#isPast(key, graceMs, nowMs)) this.#drop(key);
  }
}

/** Whether both are of one id, which the caller sees to, and time. */
function isSameKey(one: EnvelopeKey | undefined, other: EnvelopeKey): boolean {
  return one?.standing.created === other.standing.created;
}
