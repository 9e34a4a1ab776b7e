import type { EnvelopeKey } from './envelope-key.ts';
import { keyName, type EpochSeconds, type KeyId } from '../records/ids.ts';
import type { Clock } from '../async/clock.ts';

/** The limits of a {@link KeyCache}. */
export interface KeyCacheLimits {
  readonly maxKeys: number;
  readonly maxAgeMs: number;
  /** How much longer than its maximum age a key is kept, for {@link KeyCache.stale}. */
  readonly graceMs: number;
  /** Called when the full cache drops a key. */
  readonly evicted: () => void;
}

/**
 * Keeps decrypted keys between requests. It drops the least recently used key when it is full, and each key at its maximum age. It
 * does not judge whether a key may still be used: its callers do.
 */
export class KeyCache {
  readonly #limits: KeyCacheLimits;
  readonly #now: Clock;
  /** The cached keys, least recently used first. */
  readonly #keys = new Map<string, EnvelopeKey>();
  readonly #latest = new Map<KeyId, EnvelopeKey>();
  /** The most recently used key. A hit on it does not need to move it. */
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

  /** The key with exactly this id and creation time; undefined if it is not cached or has reached its maximum age. */
  get(id: KeyId, created: EpochSeconds): EnvelopeKey | undefined {
    return this.#use(this.#find(id, created));
  }

  /** The key to seal with; undefined if there is none or it has reached its maximum age. */
  latest(id: KeyId): EnvelopeKey | undefined {
    return this.#use(this.#latest.get(id));
  }

  /** As {@link get}, or as {@link latest} if `created` is missing, but also gives a key in the grace after its maximum age. */
  stale(id: KeyId, created?: EpochSeconds): EnvelopeKey | undefined {
    const key = created === undefined ? this.#latest.get(id) : this.#find(id, created);
    return key === undefined || this.#isPast(key, this.#limits.graceMs, this.#now()) ? undefined : key;
  }

  /** Caches a key. It replaces a cached key with the same id and creation time. */
  put(key: EnvelopeKey): void {
    // The new copy of a key replaces the old one as the latest, too.
    if (isSameKey(this.#latest.get(key.standing.id), key)) this.#latest.set(key.standing.id, key);
    this.#touch(key);
    if (this.#keys.size > this.#limits.maxKeys) {
      this.#drop(this.#keys.values().next().value);
      this.#limits.evicted();
    }
    this.#sweep();
  }

  /** Caches a key to seal with, unless a later key of the same id is cached that is not retired. */
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

  /** Whether the key is older than its maximum age and the given grace. */
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

  /** Drops all keys past their grace. It runs once per maximum age. */
  #sweep(): void {
    const { maxAgeMs, graceMs } = this.#limits;
    const nowMs = this.#now();
    if (nowMs - this.#sweptAtMs < maxAgeMs) return;
    this.#sweptAtMs = nowMs;
    for (const key of this.#keys.values()) if (this.#isPast(key, graceMs, nowMs)) this.#drop(key);
  }
}

/** Whether two keys of one id have the same creation time. */
function isSameKey(one: EnvelopeKey | undefined, other: EnvelopeKey): boolean {
  return one?.standing.created === other.standing.created;
}
