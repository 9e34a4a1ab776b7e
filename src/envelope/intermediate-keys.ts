import { AbsentKeys } from './absent-keys.ts';
import { createdNow } from './crypto-policy.ts';
import { EnvelopeKey } from './envelope-key.ts';
import { KeyfoldError, keyRowUnreadable } from '../errors.ts';
import { findKey, type FoundKey } from './find-key.ts';
import { Flights } from '../async/flights.ts';
import { metaOf, type KeyId, type KeyMeta, type KeyNaming } from '../records/ids.ts';
import { KeyCache } from './key-cache.ts';
import { isFresh, isInGrace, isRetired, refresh, retirementOf, standingOf, type KeyStanding } from './key-standing.ts';
import type { KeyDependencies } from './key-dependencies.ts';
import type { EnvelopeKeyRecord, Retirement } from './ports.ts';
import type { Deadline } from '../async/deadline.ts';
import { KEY_BYTES, randomKeyBytes } from '../crypto/random.ts';
import { StaleGrace, type Held } from './stale-grace.ts';
import { CREATE_ATTEMPTS, loadWinner, lostEveryRace, type SystemKeys } from './system-keys.ts';

/** How long a key made in another region may take to be replicated to this one. */
const REPLICATION_MS = 15 * 60_000;
/** The Intermediate Keys of one service: found in the cache, in the metastore under their System Key, or made. */
export class IntermediateKeys {
  readonly #naming: KeyNaming;
  readonly #systemKeys: SystemKeys;
  readonly #world: KeyDependencies;
  readonly #cache: KeyCache;
  readonly #absent: AbsentKeys;
  readonly #grace: StaleGrace;
  readonly #loads: Flights<EnvelopeKey | undefined>;
  readonly #latest: Flights<EnvelopeKey>;

  constructor(naming: KeyNaming, systemKeys: SystemKeys, world: KeyDependencies) {
    const { policy, now, ages, checkAges, events } = world;
    this.#naming = naming;
    this.#systemKeys = systemKeys;
    this.#world = world;
    this.#cache = new KeyCache(
      {
        maxKeys: policy.maxIntermediateKeys,
        maxAgeMs: policy.intermediateKeyMaxAgeMs,
        graceMs: policy.staleGraceMs,
        evicted: () => events.cacheUsed('intermediate', 'eviction'),
      },
      ages,
    );
    this.#absent = new AbsentKeys(checkAges);
    this.#grace = new StaleGrace(world);
    this.#loads = new Flights(policy.flightTimeoutMs, now);
    this.#latest = new Flights(policy.flightTimeoutMs, now);
  }

  /** The key of that very id and time, to open with, if it is at hand; undefined means {@link load} it. */
  cached(meta: KeyMeta): EnvelopeKey | undefined {
    return this.#used(this.#cache.get(meta.id, meta.created));
  }

  /**
   * The key of that very id and time, to open with, whatever its standing; undefined where its row is absent.
   * @throws KeyfoldError `KeyNotYetVisible` where the row may be on its way from another region
   */
  load(meta: KeyMeta, deadline: Deadline): Promise<EnvelopeKey | undefined> {
    const load = async (shared: Deadline): Promise<EnvelopeKey | undefined> => {
      if (!this.#absent.has(meta)) {
        const record = await this.#grace.ask(stale, shared, (d) =>
          this.#world.metastore.load(meta.id, meta.created, d),
        );
        if (record !== undefined) {
          this.#standing(record);
          return this.#cache.get(meta.id, meta.created) ?? this.#openForReading(record, shared, stale);
        }
        this.#absent.add(meta);
      }
      this.#throwIfOnItsWay(meta);
      return undefined;
    };
    const stale: Held = () => this.#cache.stale(meta.id, meta.created);
    const unlessUnreadable = (shared: Deadline): Promise<EnvelopeKey | undefined> =>
      this.#systemKeys.unreadable.unlessKnown(meta, () => load(shared));
    const name = `${meta.created} ${meta.id}`;
    return this.#grace.orStale(stale, deadline, (d) => this.#loads.join(name, d, unlessUnreadable));
  }

  /** The key to seal with, if one is at hand that may; undefined means {@link latest} has to look or make one. */
  cachedLatest(id: KeyId): EnvelopeKey | undefined {
    const key = this.#cache.latest(id);
    return this.#used(this.#maySeal(key, isFresh) ? key : undefined);
  }

  /** The key to seal with: the metastore's latest if it may, else a new one. */
  latest(id: KeyId, deadline: Deadline): Promise<EnvelopeKey> {
    const find = async (shared: Deadline): Promise<EnvelopeKey> => {
      const found = await this.#find(id, shared, stale);
      if ('key' in found) return this.#putLatest(found.key);
      const rows = [...found.rows];
      for (let attempt = 0; attempt < CREATE_ATTEMPTS; attempt += 1) {
        const made = await this.#create(id, rows, shared);
        if (made instanceof EnvelopeKey) return made;
        const key = await this.#usable(made, shared, stale);
        if (key !== undefined) return this.#putLatest(key);
        rows.unshift(made);
      }
      throw lostEveryRace(id);
    };
    const stale: Held = () => {
      const key = this.#cache.stale(id);
      return this.#maySeal(key, isInGrace) ? key : undefined;
    };
    return this.#grace.orStale(stale, deadline, (d) => this.#latest.join(id, d, find));
  }

  /** The newest key that may seal, or the rows of those that may not. */
  #find(id: KeyId, deadline: Deadline, held: Held): Promise<FoundKey<EnvelopeKey>> {
    const { metastore, now } = this.#world;
    return findKey({
      now,
      latest: () => this.#grace.ask(held, deadline, (d) => metastore.loadLatest(id, d)),
      recent: (notAfter) => this.#grace.ask(held, deadline, async (d) => metastore.loadRecent?.(id, notAfter, d)),
      use: (record) => this.#usable(record, deadline, held),
      isWorn: (record) => this.#standing(record).worn,
    });
  }

  /** Holds a key to seal with, unless a later one is held that may seal too. */
  #putLatest(key: EnvelopeKey): EnvelopeKey {
    const { policy, now } = this.#world;
    this.#cache.putLatest(key, ({ standing, parent }) =>
      [standing, parent].some((known) => known === undefined || isRetired(policy, known, now())),
    );
    return key;
  }

  /**
   * Makes a key, or finds that another process just has: then its record.
   * @param rows of the keys that are known and may not seal, latest first
   */
  async #create(
    id: KeyId,
    rows: readonly EnvelopeKeyRecord[],
    deadline: Deadline,
  ): Promise<EnvelopeKey | EnvelopeKeyRecord> {
    const { metastore, policy, now, ages, checkAges, events } = this.#world;
    const parent = await this.#systemKeys.latest(deadline);
    const [previous] = rows;
    const worn = previous !== undefined && this.#standing(previous).worn ? previous.created : undefined;
    const taken = rows.map((row) => row.created);
    const created = createdNow(policy, now(), taken, worn);
    if (created === undefined) throw lostEveryRace(id);
    const bytes = randomKeyBytes();
    try {
      const record = { id, created, encryptedKey: parent.seal(bytes), parent: parent.toJSON(), revoked: false };
      if ((await metastore.store(record, deadline)) === 'duplicate') {
        return await loadWinner(metastore, record, deadline);
      }
      events.keyCreated('intermediate', { id, created });
      if (previous !== undefined) events.keyRetired('intermediate', metaOf(previous), this.#whyRetired(previous));
      const key = new EnvelopeKey(bytes, ages(), standingOf(record, checkAges()), parent.standing);
      return this.#putLatest(key);
    } finally {
      bytes.fill(0);
    }
  }

  /** The key of a record just read, if it and its System Key may still seal. */
  async #usable(record: EnvelopeKeyRecord, deadline: Deadline, held: Held): Promise<EnvelopeKey | undefined> {
    const { policy, now } = this.#world;
    if (isRetired(policy, this.#standing(record), now())) return undefined;
    const parent = await this.#systemKeys.loadUsable(this.#parentOf(record), deadline, held);
    if (parent === undefined) return undefined;
    const cached = this.#cache.get(record.id, record.created);
    if (cached === undefined) return this.#open(record, parent);
    cached.parent = parent.standing;
    return cached;
  }

  /** Why a record's key was found unusable. */
  #whyRetired(record: EnvelopeKeyRecord): Retirement {
    const { policy, now } = this.#world;
    return retirementOf(policy, this.#standing(record), now()) ?? 'parent-retired';
  }

  /** What is known of a key now that its record has been read; shared by whatever copies of it are held. */
  #standing(record: EnvelopeKeyRecord): KeyStanding {
    const { checkAges } = this.#world;
    const held = this.#cache.stale(record.id, record.created);
    if (held === undefined) return standingOf(record, checkAges());
    refresh(held.standing, record, checkAges());
    return held.standing;
  }

  /** Whether nothing is known against sealing with a key, and what is known is as recent as that asks. */
  #maySeal(key: EnvelopeKey | undefined, isRecent: typeof isFresh): boolean {
    if (key?.parent === undefined) return false;
    const { policy, now, checkAges } = this.#world;
    const nowMs = now();
    const agedMs = checkAges();
    for (const standing of [key.standing, key.parent]) {
      if (!isRecent(policy, standing, agedMs) || isRetired(policy, standing, nowMs)) return false;
    }
    return true;
  }

  /** Counts a hit or a miss. */
  #used(key: EnvelopeKey | undefined): EnvelopeKey | undefined {
    this.#world.events.cacheUsed('intermediate', key === undefined ? 'miss' : 'hit');
    return key;
  }

  async #openForReading(record: EnvelopeKeyRecord, deadline: Deadline, held: Held): Promise<EnvelopeKey> {
    const parentMeta = this.#parentOf(record);
    const parent = await this.#systemKeys.load(parentMeta, deadline, held);
    if (parent !== undefined) return this.#open(record, parent);
    // Rows are replicated in no order: a new key's row may be here before that of the System Key it was made under long ago.
    for (const meta of [parentMeta, record]) this.#throwIfOnItsWay(meta);
    throw keyRowUnreadable(record, 'its System Key is absent');
  }

  #open(record: EnvelopeKeyRecord, parent: EnvelopeKey): EnvelopeKey {
    const { ages } = this.#world;
    const bytes = parent.open(record.encryptedKey);
    if (bytes?.length !== KEY_BYTES) {
      bytes?.fill(0);
      throw keyRowUnreadable(record, 'its key does not open under its System Key');
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

  #throwIfOnItsWay(meta: KeyMeta): void {
    const ageMs = this.#world.now() - meta.created * 1000;
    if (!this.#naming.suffixed || Math.abs(ageMs) >= REPLICATION_MS) return;
    throw new KeyfoldError('KeyNotYetVisible', 'A key of this record may not have been replicated to this region yet.');
  }
}
