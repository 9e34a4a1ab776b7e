import type { Deadline } from '../async/deadline.ts';
import { ShortMemory } from '../async/short-memory.ts';
import { SingleFlight } from '../async/single-flight.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import { KeyfoldError, keyRowUnreadable, recordUnreadable } from '../errors.ts';
import { keyName, metaOf, type KeyId, type KeyMeta, type KeyNaming } from '../records/ids.ts';
import { createKey, findOrCreateKey } from './create-key.ts';
import { EnvelopeKey } from './envelope-key.ts';
import { Erasures } from './erasures.ts';
import { findKey } from './find-key.ts';
import { KeyCache } from './key-cache.ts';
import type { KeyDependencies } from './key-dependencies.ts';
import { isFresh, isInGrace, isRetired, refresh, retirementOf, standingOf, type KeyStanding } from './key-standing.ts';
import type { EnvelopeKeyRecord, Retirement } from './ports.ts';
import { checkRowProof } from './row-proofs.ts';
import { StaleIfError, type StaleKey } from './stale-if-error.ts';
import type { SystemKeys } from './system-keys.ts';

/** How long replication may take to bring a key from another region. */
const REPLICATION_MS = 15 * 60_000;
/**
 * The process remembers for this long that a row is absent, so that a flood of records with invented key names causes
 * few reads.
 */
const ABSENT_TTL_MS = 1000;
const MAX_ABSENT = 10_000;

/** The Intermediate Keys of one service. This class takes a key from the cache or the metastore, or makes a new key. */
export class IntermediateKeys {
  readonly #naming: KeyNaming;
  readonly #systemKeys: SystemKeys;
  readonly #dependencies: KeyDependencies;
  readonly #cache: KeyCache;
  readonly #absent: ShortMemory<true>;
  readonly #staleIfError: StaleIfError;
  readonly #erasures: Erasures;
  readonly #loads: SingleFlight<EnvelopeKey | undefined>;
  readonly #latest: SingleFlight<EnvelopeKey>;

  constructor(naming: KeyNaming, systemKeys: SystemKeys, dependencies: KeyDependencies) {
    const { policy, now, ages, checkAges, events } = dependencies;
    this.#naming = naming;
    this.#systemKeys = systemKeys;
    this.#dependencies = dependencies;
    this.#cache = new KeyCache(
      {
        maxKeys: policy.maxIntermediateKeys,
        maxAgeMs: policy.intermediateKeyMaxAgeMs,
        graceMs: policy.staleGraceMs,
        evicted: () => events.cacheUsed('intermediate', 'eviction'),
      },
      ages,
    );
    this.#absent = new ShortMemory(checkAges, ABSENT_TTL_MS, MAX_ABSENT);
    this.#staleIfError = new StaleIfError(dependencies);
    this.#erasures = new Erasures(naming, systemKeys, dependencies, this.#staleIfError);
    this.#loads = new SingleFlight(policy.flightTimeoutMs, now);
    this.#latest = new SingleFlight(policy.flightTimeoutMs, now);
  }

  /**
   * Returns the cached key with exactly this ID and creation time, for opening records. If the result is undefined,
   * call {@link load}.
   */
  cached(meta: KeyMeta): EnvelopeKey | undefined {
    return this.#counted(this.#cache.get(meta.id, meta.created));
  }

  /**
   * Returns the key with exactly this ID and creation time, for opening records, even if the key is retired. Returns
   * undefined if the row is absent.
   * @throws KeyfoldError `PartitionErased` if the row has the mark of an erasure, or if it is absent and its ID has a
   * tombstone
   * @throws KeyfoldError `KeyNotYetVisible` if replication may still bring the row from another region
   */
  load(meta: KeyMeta, deadline: Deadline): Promise<EnvelopeKey | undefined> {
    const stale: StaleKey = () => this.#cache.stale(meta.id, meta.created);
    return this.#loads.run(keyName(meta), deadline, (shared) => {
      const load = this.#systemKeys.unreadable.unlessKnown(meta, () => this.#loadToOpen(meta, shared, stale));
      return this.#staleIfError.orStale(load, stale);
    });
  }

  /**
   * Returns the cached key for sealing. If the result is undefined, no cached key may seal, and callers must call
   * {@link latest}.
   */
  cachedLatest(id: KeyId): EnvelopeKey | undefined {
    const key = this.#cache.latest(id);
    return this.#counted(this.#maySeal(key, isFresh) ? key : undefined);
  }

  /**
   * Returns the key for sealing: the newest key in the metastore that may seal, or a new key.
   * @throws KeyfoldError `PartitionErased` if the latest row is a tombstone, or has the mark of an erasure
   */
  latest(id: KeyId, deadline: Deadline): Promise<EnvelopeKey> {
    const stale: StaleKey = () => {
      const key = this.#cache.stale(id);
      return this.#maySeal(key, isInGrace) ? key : undefined;
    };
    return this.#latest.run(id, deadline, (shared) =>
      this.#staleIfError.orStale(
        this.#findOrCreate(id, shared, stale).catch((error: unknown) => this.#heed(error, id)),
        stale,
      ),
    );
  }

  /**
   * Makes the next key of a partition, even if the newest key may still seal.
   * @returns the new key. Undefined if another process has just made one.
   * @throws KeyfoldError `PartitionErased` if the latest row is a tombstone, or has the mark of an erasure
   */
  async createNext(id: KeyId, deadline: Deadline): Promise<KeyMeta | undefined> {
    const { metastore, now } = this.#dependencies;
    const found = await findKey<EnvelopeKey>({
      now,
      latest: () => metastore.loadLatest(id, deadline),
      recent: async (notAfter) => metastore.loadRecent?.(id, notAfter, deadline),
      use: (record) => this.#erasures.throwIfMarked(record, deadline, () => undefined),
    });
    const made = 'rows' in found ? await this.#create(id, found.rows, deadline) : undefined;
    return made instanceof EnvelopeKey ? metaOf(made.standing) : undefined;
  }

  async #loadToOpen(meta: KeyMeta, deadline: Deadline, stale: StaleKey): Promise<EnvelopeKey | undefined> {
    this.#throwIfBeforeMinimum(meta);
    if (this.#absent.get(keyName(meta)) === undefined) {
      const { metastore } = this.#dependencies;
      const record = await this.#staleIfError.read(stale, deadline, (d) => metastore.load(meta.id, meta.created, d));
      if (record !== undefined) {
        this.#standing(record);
        await this.#erasures.throwIfMarked(record, deadline, stale);
        return this.#cache.get(meta.id, meta.created) ?? this.#openToRead(record, deadline, stale);
      }
      this.#absent.set(keyName(meta), true);
    }
    await this.#erasures.throwIfBuried(meta.id, deadline, stale);
    this.#throwIfReplicating(meta);
    return undefined;
  }

  async #findOrCreate(id: KeyId, deadline: Deadline, stale: StaleKey): Promise<EnvelopeKey> {
    const { metastore, policy, now } = this.#dependencies;
    const key = await findOrCreateKey({
      id,
      now,
      latest: () => this.#staleIfError.read(stale, deadline, (d) => metastore.loadLatest(id, d)),
      recent: (notAfter) =>
        this.#staleIfError.read(stale, deadline, async (d) => metastore.loadRecent?.(id, notAfter, d)),
      use: (record) => this.#usable(record, deadline, stale),
      isExhausted: (record) => this.#standing(record).exhausted,
      create: (rows) => this.#create(id, rows, deadline),
    });
    // If the cache has a later key that may seal, that key remains the latest.
    this.#cache.putLatest(key, ({ standing, parent }) =>
      [standing, parent].some((known) => known === undefined || isRetired(policy, known, now())),
    );
    return key;
  }

  /** After an erasure the cached key must not seal again, even if the metastore is down later. */
  #heed(error: unknown, id: KeyId): never {
    const key = this.#cache.stale(id);
    if (key !== undefined && error instanceof KeyfoldError && error.code === 'PartitionErased') {
      key.standing.revoked = true;
    }
    throw error;
  }

  async #create(
    id: KeyId,
    rows: readonly EnvelopeKeyRecord[],
    deadline: Deadline,
  ): Promise<EnvelopeKey | EnvelopeKeyRecord> {
    const { ages, checkAges } = this.#dependencies;
    const parent = await this.#systemKeys.latest(deadline);
    const [latest] = rows;
    const exhausted = latest !== undefined && this.#standing(latest).exhausted ? latest.created : undefined;
    const key = {
      kind: 'intermediate',
      id,
      rows,
      exhausted,
      protect: async (bytes: Buffer, meta: KeyMeta) => {
        const sealed = { encryptedKey: parent.seal(bytes), parent: parent.toJSON() };
        return { ...sealed, proof: parent.proofOfRow({ ...meta, ...sealed }) };
      },
      whyRetired: (row: EnvelopeKeyRecord) => this.#whyRetired(row),
      toKey: (bytes: Buffer, record: EnvelopeKeyRecord) =>
        new EnvelopeKey(bytes, ages(), standingOf(record, checkAges()), parent.standing),
    } as const;
    return createKey(key, this.#dependencies, deadline);
  }

  /**
   * Makes the key of a record that was just read. Returns undefined unless the key and its System Key may still seal.
   */
  async #usable(record: EnvelopeKeyRecord, deadline: Deadline, stale: StaleKey): Promise<EnvelopeKey | undefined> {
    const { policy, now } = this.#dependencies;
    const standing = this.#standing(record);
    await this.#erasures.throwIfMarked(record, deadline, stale);
    if (isRetired(policy, standing, now())) return undefined;
    const parent = await this.#systemKeys.loadUsable(this.#parentOf(record), deadline, stale);
    if (parent === undefined) return undefined;
    const cached = this.#cache.get(record.id, record.created);
    if (cached === undefined) return this.#open(record, parent);
    cached.parent = parent.standing;
    return cached;
  }

  #whyRetired(record: EnvelopeKeyRecord): Retirement {
    const { policy, now } = this.#dependencies;
    return retirementOf(policy, this.#standing(record), now()) ?? 'parent-retired';
  }

  /** The standing of a key whose record was just read. A cached copy of the key has the same object as its standing. */
  #standing(record: EnvelopeKeyRecord): KeyStanding {
    const { checkAges } = this.#dependencies;
    const cached = this.#cache.stale(record.id, record.created);
    if (cached === undefined) return standingOf(record, checkAges());
    refresh(cached.standing, record, checkAges());
    return cached.standing;
  }

  /**
   * Whether the key and its System Key may seal, according to their last known states. Returns false if a state is not
   * recent enough for `isRecent`.
   */
  #maySeal(key: EnvelopeKey | undefined, isRecent: typeof isFresh): boolean {
    if (key?.parent === undefined) return false;
    const { policy, now, checkAges } = this.#dependencies;
    const nowMs = now();
    const agedMs = checkAges();
    for (const standing of [key.standing, key.parent]) {
      if (!isRecent(policy, standing, agedMs) || isRetired(policy, standing, nowMs)) return false;
    }
    return true;
  }

  #counted(key: EnvelopeKey | undefined): EnvelopeKey | undefined {
    this.#dependencies.events.cacheUsed('intermediate', key === undefined ? 'miss' : 'hit');
    return key;
  }

  async #openToRead(record: EnvelopeKeyRecord, deadline: Deadline, stale: StaleKey): Promise<EnvelopeKey> {
    const parentMeta = this.#parentOf(record);
    this.#throwIfBeforeMinimum(parentMeta);
    const parent = await this.#systemKeys.load(parentMeta, deadline, stale);
    if (parent !== undefined) return this.#open(record, parent);
    // Replication keeps no order, so the row of a new key may arrive before the row of its older System Key.
    for (const meta of [parentMeta, record]) this.#throwIfReplicating(meta);
    throw keyRowUnreadable(record, 'its System Key is absent');
  }

  #open(record: EnvelopeKeyRecord, parent: EnvelopeKey): EnvelopeKey {
    const { ages, keyRowProofs } = this.#dependencies;
    const bytes = parent.open(record.encryptedKey);
    try {
      if (bytes?.length !== KEY_BYTES) throw keyRowUnreadable(record, 'its key does not open under its System Key');
      checkRowProof(record, parent.proofOfRow(record), keyRowProofs);
    } catch (error) {
      bytes?.fill(0);
      throw error;
    }
    const key = new EnvelopeKey(bytes, ages(), this.#standing(record), parent.standing);
    this.#cache.put(key);
    return key;
  }

  #parentOf(record: EnvelopeKeyRecord): KeyMeta {
    if (record.parent === undefined) throw keyRowUnreadable(record, 'it names no System Key');
    if (!this.#naming.isSystemKey(record.parent.id))
      throw keyRowUnreadable(record, "its System Key is not this service's");
    return record.parent;
  }

  /** @throws KeyfoldError `RecordUnreadable` for a key that was created before the minimum date for opening */
  #throwIfBeforeMinimum({ created }: KeyMeta): void {
    if (created >= this.#dependencies.policy.minOpeningCreated) return;
    throw recordUnreadable('its key was created before the minimum date for opening');
  }

  #throwIfReplicating(meta: KeyMeta): void {
    const ageMs = this.#dependencies.now() - meta.created * 1000;
    if (!this.#naming.suffixed || Math.abs(ageMs) >= REPLICATION_MS) return;
    throw new KeyfoldError('KeyNotYetVisible', 'A key of this record may not have been replicated to this region yet.');
  }
}
