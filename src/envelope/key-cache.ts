import type { EnvelopeKey } from './envelope-key.ts';
import { keyName, type EpochSeconds, type KeyId } from '../records/ids.ts';
import type { Clock } from '../async/clock.ts';

/** The limits of a {@link KeyCache}, and the listener for evictions. */
export interface KeyCacheLimits {
  readonly maxKeys: number;
  readonly maxAgeMs: number;
  /** The cache keeps a key for this long after `maxAgeMs`. Only {@link KeyCache.stale} returns such a key. */
  readonly graceMs: number;
  /** Called when the full cache drops a key. */
  readonly evicted: () => void;
}

/** An LRU cache of plaintext keys, with limits on their number and age. Its callers decide whether a key may seal. */
export class KeyCache {
  readonly #limits: KeyCacheLimits;
  readonly #now: Clock;
  /** All cached keys, keyed by name. The least recently used key comes first. */
  readonly #keys = new Map<string, EnvelopeKey>();
  readonly #latest = new Map<KeyId, EnvelopeKey>();
  /**
   * The most recently used key. It is already the last one in `#keys`, so a hit on this key does not have to move it.
   */
  #newest: EnvelopeKey | undefined;
  #sweptAtMs: number;

  constructor(limits: KeyCacheLimits, now: Clock) {
    this.#limits = limits;
    this.#now = now;
    this.#sweptAtMs = now();
  }

  /** The number of cached keys. */
  get size(): number {
    return this.#keys.size;
  }

  /** The key with exactly this id and creation time. Undefined if it is not cached or its maximum age is over. */
  get(id: KeyId, created: EpochSeconds): EnvelopeKey | undefined {
    return this.#use(this.#find(id, created));
  }

  /** The key that {@link putLatest} stored for this ID. Undefined if there is none, or if its maximum age is over. */
  latest(id: KeyId): EnvelopeKey | undefined {
    return this.#use(this.#latest.get(id));
  }

  /**
   * Like {@link get}, or like {@link latest} if `created` is absent, but also returns keys within the grace period
   * after their maximum age.
   */
  stale(id: KeyId, created?: EpochSeconds): EnvelopeKey | undefined {
    const key = created === undefined ? this.#latest.get(id) : this.#find(id, created);
    return key === undefined || this.#isPast(key, this.#limits.graceMs, this.#now()) ? undefined : key;
  }

  /** Caches a key. If the cache has an older copy of the same key, the new copy replaces it. */
  put(key: EnvelopeKey): void {
    // If this key was loaded again, it must replace its older copy in both maps.
    if (isSameKey(this.#latest.get(key.standing.id), key)) this.#latest.set(key.standing.id, key);
    this.#touch(key);
    if (this.#keys.size > this.#limits.maxKeys) {
      this.#drop(this.#keys.values().next().value);
      this.#limits.evicted();
    }
    this.#sweep();
  }

  /**
   * Caches a key as the latest of its id. If a later key of that id is already in the cache and not retired, that key
   * remains the latest.
   */
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

  /** Whether the maximum age of the key ended at least `graceMs` ago. */
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

  /** Drops all keys whose maximum age and grace period are over. At least `maxAgeMs` must pass between two sweeps. */
  #sweep(): void {
    const { maxAgeMs, graceMs } = this.#limits;
    const nowMs = this.#now();
    if (nowMs - this.#sweptAtMs < maxAgeMs) return;
    this.#sweptAtMs = nowMs;
    for (const key of this.#keys.values()) if (this.#isPast(key, graceMs, nowMs)) this.#drop(key);
  }
}

/** Whether two keys with the same ID have the same creation time, and so are the same key. */
function isSameKey(one: EnvelopeKey | undefined, other: EnvelopeKey): boolean {
  return one?.standing.created === other.standing.created;
}
