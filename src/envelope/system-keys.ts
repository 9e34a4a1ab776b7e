import { createdNow, type CryptoPolicy } from './crypto-policy.ts';
import { EnvelopeKey } from './envelope-key.ts';
import { keyRowUnreadable, KeyfoldError } from './errors.ts';
import { Flights } from './flights.ts';
import { metaOf, type KeyId, type KeyMeta } from './ids.ts';
import { KeyCache } from './key-cache.ts';
import { isExpired, isFresh, isRetired, refresh, retirementOf, standingOf, type KeyStanding } from './key-standing.ts';
import type { Clock, Deadline, EnvelopeEvents, EnvelopeKeyRecord, KeyManagementService, Metastore } from './ports.ts';
import { KEY_BYTES, randomKeyBytes } from './random.ts';
import { StaleGrace, type Held } from './stale-grace.ts';
import { UnreadableRows } from './unreadable-rows.ts';

/** What the keys of one service need of the world. */
export interface KeyWorld {
  readonly metastore: Metastore;
  readonly kms: KeyManagementService;
  readonly policy: CryptoPolicy;
  readonly now: Clock;
  readonly events: EnvelopeEvents;
}

/** How often a lost race to create a key is followed up before it is an error. */
export const CREATE_ATTEMPTS = 3;

/** The System Keys of one service: found in the cache, in the metastore through KMS, or made. */
export class SystemKeys {
  readonly #id: KeyId;
  readonly #world: KeyWorld;
  readonly #cache: KeyCache;
  /** What is known of each key, which outlives its plaintext: the Intermediate Keys under it share it. */
  readonly #standings = new Map<string, KeyStanding>();
  /** Of the Intermediate Keys, too. */
  readonly unreadable: UnreadableRows;
  readonly #grace: StaleGrace;
  readonly #reads: Flights<EnvelopeKeyRecord | undefined>;
  readonly #unwraps: Flights<EnvelopeKey>;
  readonly #latest: Flights<EnvelopeKey>;

  constructor(id: KeyId, world: KeyWorld) {
    const { policy, now, events } = world;
    this.#id = id;
    this.#world = world;
    this.#cache = new KeyCache(
      {
        maxKeys: policy.maxSystemKeys,
        maxAgeMs: policy.systemKeyMaxAgeMs,
        graceMs: 0,
        evicted: () => events.cacheUsed('system', 'eviction'),
      },
      now,
    );
    this.unreadable = new UnreadableRows(now);
    this.#grace = new StaleGrace(world);
    this.#reads = new Flights(policy.flightTimeoutMs, now);
    this.#unwraps = new Flights(policy.flightTimeoutMs, now);
    this.#latest = new Flights(policy.flightTimeoutMs, now);
  }

  /**
   * The key of that very id and time, to open with, whatever its standing; undefined where its row is absent.
   * @param held what may serve if the metastore stalls
   */
  async load(meta: KeyMeta, deadline: Deadline, held: Held): Promise<EnvelopeKey | undefined> {
    const cached = this.#used(this.#cache.get(meta.id, meta.created));
    if (cached !== undefined) return cached;
    return this.unreadable.unlessKnown(meta, async () => {
      const record = await this.#read(meta, deadline, held);
      return record && this.#unwrap(record, deadline);
    });
  }

  /**
   * The key of that very id and time, if it may still seal; undefined where it is retired or its row is absent.
   * @param held what may serve if the metastore stalls
   */
  async loadUsable(meta: KeyMeta, deadline: Deadline, held: Held): Promise<EnvelopeKey | undefined> {
    const { policy, now } = this.#world;
    const known = this.#standings.get(nameOf(meta));
    if (isExpired(policy, meta.created, now()) || known?.revoked === true) return undefined;
    const cached = this.#used(this.#ifMaySeal(this.#cache.get(meta.id, meta.created)));
    if (cached !== undefined) {
      this.#cache.putLatest(cached);
      return cached;
    }
    return this.unreadable.unlessKnown(meta, async () => {
      const record = await this.#read(meta, deadline, held);
      return record && this.#usable(record, deadline);
    });
  }

  /** The key to seal new Intermediate Keys with; made, where there is none that may. */
  async latest(deadline: Deadline): Promise<EnvelopeKey> {
    const cached = this.#used(this.#ifMaySeal(this.#cache.latest(this.#id)));
    if (cached !== undefined) return cached;
    return this.#latest.join(this.#id, deadline, (shared) => this.#loadOrCreate(shared));
  }

  /** Has the latest key in the cache before it is asked for, where there is one that may seal. Makes none. */
  async preload(deadline: Deadline): Promise<void> {
    const record = await this.#world.metastore.loadLatest(this.#id, deadline);
    if (record !== undefined) await this.#usable(record, deadline);
  }

  /**
   * Makes the next key if the latest ends within `aheadMs`, or may not seal already.
   * @returns what was made; undefined where that was not due, or another process has just done it
   */
  async createAhead(aheadMs: number, deadline: Deadline): Promise<KeyMeta | undefined> {
    const { metastore, policy, now } = this.#world;
    const latest = await metastore.loadLatest(this.#id, deadline);
    const isDue = latest === undefined || latest.revoked || isExpired(policy, latest.created, now() + aheadMs);
    const made = isDue ? await this.#create(latest, deadline) : undefined;
    return made instanceof EnvelopeKey ? metaOf(made.standing) : undefined;
  }

  async #loadOrCreate(deadline: Deadline): Promise<EnvelopeKey> {
    let record = await this.#world.metastore.loadLatest(this.#id, deadline);
    for (let attempt = 0; attempt < CREATE_ATTEMPTS; attempt += 1) {
      const key = record && (await this.#usable(record, deadline));
      if (key !== undefined) return key;
      const made = await this.#create(record, deadline);
      if (made instanceof EnvelopeKey) return made;
      record = made;
    }
    throw lostEveryRace(this.#id);
  }

  /** Makes a key, or finds that another process just has: then its record. */
  async #create(previous: EnvelopeKeyRecord | undefined, deadline: Deadline): Promise<EnvelopeKey | EnvelopeKeyRecord> {
    const { metastore, kms, policy, now, events } = this.#world;
    const created = createdNow(policy, now(), previous?.created);
    const bytes = randomKeyBytes();
    try {
      const encryptedKey = await kms.wrap(bytes, deadline);
      const record = { id: this.#id, created, encryptedKey, revoked: false };
      if ((await metastore.store(record, deadline)) === 'duplicate') {
        return await loadWinner(metastore, record, deadline);
      }
      events.keyCreated('system', { id: this.#id, created });
      const why = previous && retirementOf(policy, this.#standing(previous), now());
      if (previous !== undefined && why !== undefined) events.keyRetired('system', metaOf(previous), why);
      const key = new EnvelopeKey(bytes, now(), this.#standing(record));
      this.#cache.putLatest(key);
      return key;
    } finally {
      bytes.fill(0);
    }
  }

  /** The key of a record just read, if it may still seal. Asks KMS only then. */
  async #usable(record: EnvelopeKeyRecord, deadline: Deadline): Promise<EnvelopeKey | undefined> {
    const { policy, now } = this.#world;
    if (isRetired(policy, this.#standing(record), now())) return undefined;
    const key = await this.#unwrap(record, deadline);
    // One that may seal serves new Intermediate Keys as well as the very latest would, and costs no look for that.
    this.#cache.putLatest(key);
    return key;
  }

  /** The key, unless it is retired or due to be looked up again. */
  #ifMaySeal(key: EnvelopeKey | undefined): EnvelopeKey | undefined {
    const { policy, now } = this.#world;
    if (key === undefined || !isFresh(policy, key.standing, now())) return undefined;
    return isRetired(policy, key.standing, now()) ? undefined : key;
  }

  /** Counts a hit or a miss. */
  #used(key: EnvelopeKey | undefined): EnvelopeKey | undefined {
    this.#world.events.cacheUsed('system', key === undefined ? 'miss' : 'hit');
    return key;
  }

  /** What is known of a key now that its record has been read. */
  #standing(record: EnvelopeKeyRecord): KeyStanding {
    const { policy, now } = this.#world;
    const name = nameOf(record);
    const known = this.#standings.get(name) ?? this.#cache.stale(record.id, record.created)?.standing;
    const standing = known ?? standingOf(record, now());
    if (known !== undefined) refresh(known, record, now());
    this.#standings.delete(name);
    this.#standings.set(name, standing);
    const [oldest] = this.#standings.keys();
    if (this.#standings.size > policy.maxSystemKeys && oldest !== undefined) this.#standings.delete(oldest);
    return standing;
  }

  #read(meta: KeyMeta, deadline: Deadline, held: Held): Promise<EnvelopeKeyRecord | undefined> {
    const load = (shared: Deadline): Promise<EnvelopeKeyRecord | undefined> =>
      this.#world.metastore.load(meta.id, meta.created, shared);
    return this.#grace.ask(held, deadline, (patient) => this.#reads.join(nameOf(meta), patient, load));
  }

  #unwrap(record: EnvelopeKeyRecord, deadline: Deadline): Promise<EnvelopeKey> {
    return this.#unwraps.join(nameOf(record), deadline, async (shared) => {
      const cached = this.#cache.get(record.id, record.created);
      if (cached !== undefined) return cached;
      const { kms, now } = this.#world;
      const unwrapped = await kms.unwrap(record.encryptedKey, shared);
      if ('unreadable' in unwrapped) throw keyRowUnreadable(record, unwrapped.unreadable);
      if (unwrapped.key.length !== KEY_BYTES) {
        unwrapped.key.fill(0);
        throw keyRowUnreadable(record, 'its key is not of 256 bits');
      }
      const key = new EnvelopeKey(unwrapped.key, now(), this.#standing(record));
      this.#cache.put(key);
      this.unreadable.readable(record);
      return key;
    });
  }
}

/** The record that won the race for an id and time. */
export async function loadWinner(metastore: Metastore, lost: KeyMeta, deadline: Deadline): Promise<EnvelopeKeyRecord> {
  const winner = await metastore.load(lost.id, lost.created, deadline);
  if (winner !== undefined) return winner;
  throw new KeyfoldError('MetastoreUnavailable', 'The metastore holds a key row that it does not give back.');
}

/** Each time a key was made, another process's had just been stored and retired. */
export function lostEveryRace(id: KeyId): KeyfoldError {
  return new KeyfoldError('MetastoreUnavailable', `No usable key of ${id} could be created: each one met was retired.`);
}

function nameOf(meta: KeyMeta): string {
  return `${meta.created} ${meta.id}`;
}
