import { createdNow } from './crypto-policy.ts';
import { EnvelopeKey } from './envelope-key.ts';
import { keyRowUnreadable, KeyfoldError } from '../errors.ts';
import { findKey, type FoundKey } from './find-key.ts';
import { Flights } from '../async/flights.ts';
import { escapeHidden } from '../input/hidden-characters.ts';
import { metaOf, type KeyId, type KeyMeta } from '../records/ids.ts';
import { KeyCache } from './key-cache.ts';
import {
  isExpired,
  isFresh,
  isRetired,
  refresh,
  retirementByDate,
  retirementOf,
  standingOf,
  type KeyStanding,
} from './key-standing.ts';
import type { EnvelopeKeyRecord, Metastore } from './ports.ts';
import type { Deadline } from '../async/deadline.ts';
import type { KeyDependencies } from './key-dependencies.ts';
import { KEY_BYTES, randomKeyBytes } from '../crypto/random.ts';
import { StaleGrace, type Held } from './stale-grace.ts';
import { UnreadableRows } from './unreadable-rows.ts';

/** How often a lost race to create a key is followed up before it is an error. */
export const CREATE_ATTEMPTS = 3;

/** The System Keys of one service: found in the cache, in the metastore through KMS, or made. */
export class SystemKeys {
  readonly #id: KeyId;
  readonly #world: KeyDependencies;
  readonly #cache: KeyCache;
  /** What is known of each key, which outlives its plaintext: the Intermediate Keys under it share it. */
  readonly #standings = new Map<string, KeyStanding>();
  /** Of the Intermediate Keys, too. */
  readonly unreadable: UnreadableRows;
  readonly #grace: StaleGrace;
  readonly #reads: Flights<EnvelopeKeyRecord | undefined>;
  readonly #unwraps: Flights<EnvelopeKey>;
  readonly #latest: Flights<EnvelopeKey>;

  constructor(id: KeyId, world: KeyDependencies) {
    const { policy, now, ages, events } = world;
    this.#id = id;
    this.#world = world;
    this.#cache = new KeyCache(
      {
        maxKeys: policy.maxSystemKeys,
        maxAgeMs: policy.systemKeyMaxAgeMs,
        graceMs: 0,
        evicted: () => events.cacheUsed('system', 'eviction'),
      },
      ages,
    );
    this.unreadable = new UnreadableRows(ages);
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
    if (retirementByDate(policy, meta.created, now()) !== undefined || known?.revoked === true) return undefined;
    const cached = this.#used(this.#ifMaySeal(this.#cache.get(meta.id, meta.created)));
    if (cached !== undefined) {
      this.#putLatest(cached);
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
    await this.#find(deadline);
  }

  /**
   * Makes the next key if the latest ends within `aheadMs`, or may not seal already.
   * @returns what was made; undefined where that was not due, or another process has just done it
   */
  async createAhead(aheadMs: number, deadline: Deadline): Promise<KeyMeta | undefined> {
    const { policy, now } = this.#world;
    const found = await this.#find(deadline, async (record) => {
      const lasts = !isRetired(policy, standingOf(record, 0), now());
      return lasts && !isExpired(policy, record.created, now() + aheadMs) ? record : undefined;
    });
    const made = 'rows' in found ? await this.#create(found.rows, deadline) : undefined;
    return made instanceof EnvelopeKey ? metaOf(made.standing) : undefined;
  }

  async #loadOrCreate(deadline: Deadline): Promise<EnvelopeKey> {
    const found = await this.#find(deadline);
    if ('key' in found) return found.key;
    const rows = [...found.rows];
    for (let attempt = 0; attempt < CREATE_ATTEMPTS; attempt += 1) {
      const made = await this.#create(rows, deadline);
      if (made instanceof EnvelopeKey) return made;
      const key = await this.#usable(made, deadline);
      if (key !== undefined) return key;
      rows.unshift(made);
    }
    throw lostEveryRace(this.#id);
  }

  /** The newest key that may seal, or the rows of those that may not. */
  #find(deadline: Deadline): Promise<FoundKey<EnvelopeKey>>;
  #find<K>(deadline: Deadline, use: (record: EnvelopeKeyRecord) => Promise<K | undefined>): Promise<FoundKey<K>>;
  #find<K>(
    deadline: Deadline,
    use: (record: EnvelopeKeyRecord) => Promise<K | EnvelopeKey | undefined> = (record) =>
      this.#usable(record, deadline),
  ): Promise<FoundKey<K | EnvelopeKey>> {
    const { metastore, now } = this.#world;
    return findKey({
      now,
      latest: () => metastore.loadLatest(this.#id, deadline),
      recent: async (notAfter) => metastore.loadRecent?.(this.#id, notAfter, deadline),
      use,
    });
  }

  /** Makes a key, or finds that another process just has: then its record. */
  async #create(rows: readonly EnvelopeKeyRecord[], deadline: Deadline): Promise<EnvelopeKey | EnvelopeKeyRecord> {
    const { metastore, kms, policy, now, ages, events } = this.#world;
    const [previous] = rows;
    const taken = rows.map((row) => row.created);
    const created = createdNow(policy, now(), taken);
    if (created === undefined) throw lostEveryRace(this.#id);
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
      const key = new EnvelopeKey(bytes, ages(), this.#standing(record));
      this.#putLatest(key);
      return key;
    } finally {
      bytes.fill(0);
    }
  }

  /** The key of a record just read, if it may still seal. Asks KMS only then. */
  async #usable(record: EnvelopeKeyRecord, deadline: Deadline): Promise<EnvelopeKey | undefined> {
    const { policy, now } = this.#world;
    if (isRetired(policy, this.#standing(record), now())) return undefined;
    const key = await this.unreadable.unlessKnown(record, () => this.#unwrap(record, deadline));
    // One that may seal serves new Intermediate Keys as well as the very latest would, and costs no look for that.
    this.#putLatest(key);
    return key;
  }

  #putLatest(key: EnvelopeKey): void {
    const { policy, now } = this.#world;
    this.#cache.putLatest(key, (held) => isRetired(policy, held.standing, now()));
  }

  /** The key, unless it is retired or due to be looked up again. */
  #ifMaySeal(key: EnvelopeKey | undefined): EnvelopeKey | undefined {
    const { policy, now, checkAges } = this.#world;
    if (key === undefined || !isFresh(policy, key.standing, checkAges())) return undefined;
    return isRetired(policy, key.standing, now()) ? undefined : key;
  }

  /** Counts a hit or a miss. */
  #used(key: EnvelopeKey | undefined): EnvelopeKey | undefined {
    this.#world.events.cacheUsed('system', key === undefined ? 'miss' : 'hit');
    return key;
  }

  /** What is known of a key now that its record has been read. */
  #standing(record: EnvelopeKeyRecord): KeyStanding {
    const { policy, checkAges } = this.#world;
    const name = nameOf(record);
    const known = this.#standings.get(name) ?? this.#cache.stale(record.id, record.created)?.standing;
    const standing = known ?? standingOf(record, checkAges());
    if (known !== undefined) refresh(known, record, checkAges());
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
      const { kms, ages } = this.#world;
      const unwrapped = await kms.unwrap(record.encryptedKey, shared);
      if ('unreadable' in unwrapped) throw keyRowUnreadable(record, unwrapped.unreadable);
      if (unwrapped.key.length !== KEY_BYTES) {
        unwrapped.key.fill(0);
        throw keyRowUnreadable(record, 'its key is not of 256 bits');
      }
      const key = new EnvelopeKey(unwrapped.key, ages(), this.#standing(record));
      this.#cache.put(key);
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
  return new KeyfoldError(
    'MetastoreUnavailable',
    `No usable key of ${escapeHidden(id)} could be created: each one met was retired.`,
  );
}

function nameOf(meta: KeyMeta): string {
  return `${meta.created} ${meta.id}`;
}
