import { createdNow } from './crypto-policy.ts';
import { EnvelopeKey } from './envelope-key.ts';
import { KeyfoldError, keyRowUnreadable } from './errors.ts';
import { Flights } from './flights.ts';
import type { EpochSeconds, KeyId, KeyMeta, KeyNaming } from './ids.ts';
import { KeyCache } from './key-cache.ts';
import { isFresh, isRetired, refresh, standingOf } from './key-standing.ts';
import type { Deadline, EnvelopeKeyRecord } from './ports.ts';
import { KEY_BYTES, randomKeyBytes } from './random.ts';
import { CREATE_ATTEMPTS, loadWinner, lostEveryRace, type KeyWorld, type SystemKeys } from './system-keys.ts';

/** How long a key made in another region may take to be replicated to this one. */
const REPLICATION_MS = 15 * 60_000;

/** The Intermediate Keys of one service: found in the cache, in the metastore under their System Key, or made. */
export class IntermediateKeys {
  readonly #naming: KeyNaming;
  readonly #systemKeys: SystemKeys;
  readonly #world: KeyWorld;
  readonly #cache: KeyCache;
  readonly #loads: Flights<EnvelopeKey | undefined>;
  readonly #latest: Flights<EnvelopeKey>;

  constructor(naming: KeyNaming, systemKeys: SystemKeys, world: KeyWorld) {
    const { policy, now } = world;
    this.#naming = naming;
    this.#systemKeys = systemKeys;
    this.#world = world;
    this.#cache = new KeyCache(policy.maxIntermediateKeys, policy.intermediateKeyMaxAgeMs, now);
    this.#loads = new Flights(policy.flightTimeoutMs, now);
    this.#latest = new Flights(policy.flightTimeoutMs, now);
  }

  /** The key of that very id and time, to open with, if it is at hand; undefined means {@link load} it. */
  cached(meta: KeyMeta): EnvelopeKey | undefined {
    return this.#cache.get(meta.id, meta.created);
  }

  /**
   * The key of that very id and time, to open with, whatever its standing; undefined where its row is absent.
   * @throws KeyfoldError `KeyNotYetVisible` where the row may be on its way from another region
   */
  load(meta: KeyMeta, deadline: Deadline): Promise<EnvelopeKey | undefined> {
    return this.#loads.join(`${meta.created} ${meta.id}`, deadline, async (shared) => {
      const record = await this.#world.metastore.load(meta.id, meta.created, shared);
      if (record === undefined) this.#throwIfOnItsWay(meta);
      return record && (this.cached(meta) ?? this.#openForReading(record, shared));
    });
  }

  /** The key to seal with, if one is at hand that may; undefined means {@link latest} has to look or make one. */
  cachedLatest(id: KeyId): EnvelopeKey | undefined {
    const key = this.#cache.latest(id);
    if (key?.parent === undefined) return undefined;
    const { policy, now } = this.#world;
    const nowMs = now();
    if (!isFresh(policy, key.standing, nowMs) || !isFresh(policy, key.parent, nowMs)) return undefined;
    return isRetired(policy, key.standing, nowMs) || isRetired(policy, key.parent, nowMs) ? undefined : key;
  }

  /** The key to seal with: the metastore's latest if it may, else a new one. */
  latest(id: KeyId, deadline: Deadline): Promise<EnvelopeKey> {
    return this.#latest.join(id, deadline, async (shared) => {
      let record = await this.#world.metastore.loadLatest(id, shared);
      for (let attempt = 0; attempt < CREATE_ATTEMPTS; attempt += 1) {
        const key = record && (await this.#usable(record, shared));
        if (key !== undefined) {
          this.#cache.putLatest(key);
          return key;
        }
        const made = await this.#create(id, record?.created, shared);
        if (made instanceof EnvelopeKey) return made;
        record = made;
      }
      throw lostEveryRace(id);
    });
  }

  /** Makes a key, or finds that another process just has: then its record. */
  async #create(
    id: KeyId,
    previous: EpochSeconds | undefined,
    deadline: Deadline,
  ): Promise<EnvelopeKey | EnvelopeKeyRecord> {
    const { metastore, policy, now, events } = this.#world;
    const parent = await this.#systemKeys.latest(deadline);
    const created = createdNow(policy, now(), previous);
    const bytes = randomKeyBytes();
    try {
      const record = { id, created, encryptedKey: parent.seal(bytes), parent: parent.toJSON(), revoked: false };
      if ((await metastore.store(record, deadline)) === 'duplicate') {
        return await loadWinner(metastore, record, deadline);
      }
      events.keyCreated('intermediate', { id, created });
      const key = new EnvelopeKey(bytes, now(), standingOf(record, now()), parent.standing);
      this.#cache.putLatest(key);
      return key;
    } finally {
      bytes.fill(0);
    }
  }

  /** The key of a record just read, if it and its System Key may still seal. */
  async #usable(record: EnvelopeKeyRecord, deadline: Deadline): Promise<EnvelopeKey | undefined> {
    const { policy, now } = this.#world;
    const cached = this.cached(record);
    if (cached !== undefined) refresh(cached.standing, record, now());
    if (isRetired(policy, cached?.standing ?? standingOf(record, now()), now())) return undefined;
    const parent = await this.#systemKeys.loadUsable(this.#parentOf(record), deadline);
    if (parent === undefined) return undefined;
    if (cached === undefined) return this.#open(record, parent);
    cached.parent = parent.standing;
    return cached;
  }

  async #openForReading(record: EnvelopeKeyRecord, deadline: Deadline): Promise<EnvelopeKey> {
    const parentMeta = this.#parentOf(record);
    const parent = await this.#systemKeys.load(parentMeta, deadline);
    if (parent !== undefined) return this.#open(record, parent);
    this.#throwIfOnItsWay(parentMeta);
    throw keyRowUnreadable(record, 'its System Key is absent');
  }

  #open(record: EnvelopeKeyRecord, parent: EnvelopeKey): EnvelopeKey {
    const { now } = this.#world;
    const bytes = parent.open(record.encryptedKey);
    if (bytes?.length !== KEY_BYTES) {
      bytes?.fill(0);
      throw keyRowUnreadable(record, 'its key does not open under its System Key');
    }
    const key = new EnvelopeKey(bytes, now(), standingOf(record, now()), parent.standing);
    this.#cache.put(key);
    return key;
  }

  #parentOf(record: EnvelopeKeyRecord): KeyMeta {
    if (record.parent === undefined) throw keyRowUnreadable(record, 'it names no System Key');
    if (!this.#naming.isSystemKey(record.parent.id))
      throw keyRowUnreadable(record, "its System Key is not this service's");
    return record.parent;
  }

  #throwIfOnItsWay(meta: KeyMeta): void {
    const ageMs = this.#world.now() - meta.created * 1000;
    if (!this.#naming.suffixed || Math.abs(ageMs) >= REPLICATION_MS) return;
    throw new KeyfoldError('KeyNotYetVisible', 'A key of this record may not have been replicated to this region yet.');
  }
}
