import type { Deadline } from '../async/deadline.ts';
import { SingleFlight } from '../async/single-flight.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import { KeyfoldError, keyRowUnreadable } from '../errors.ts';
import { keyName, metaOf, type KeyId, type KeyMeta } from '../records/ids.ts';
import { createKey, findOrCreateKey } from './create-key.ts';
import { EnvelopeKey } from './envelope-key.ts';
import { findKey, type FoundKey, type KeySearch } from './find-key.ts';
import { KeyCache } from './key-cache.ts';
import type { KeyDependencies } from './key-dependencies.ts';
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
import type { EnvelopeKeyRecord, RowProofBasis } from './ports.ts';
import { checkRowProof, proofOfSystemKey } from './row-proofs.ts';
import { StaleIfError, type StaleKey } from './stale-if-error.ts';
import { UnreadableRows } from './unreadable-rows.ts';

/**
 * The System Keys of one service. This class takes a key from the cache, loads it from the metastore and unwraps it
 * with KMS, or makes a new key.
 */
export class SystemKeys {
  /** Remembers the unreadable rows of System Keys and of Intermediate Keys. */
  readonly unreadable: UnreadableRows;
  readonly #id: KeyId;
  readonly #dependencies: KeyDependencies;
  readonly #cache: KeyCache;
  /**
   * The standing of each key. It is kept for longer than the plaintext of the key, because the Intermediate Keys under
   * the key share it.
   */
  readonly #standings = new Map<string, KeyStanding>();
  /** The rows of keys that KMS is unwrapping. A load that starts meanwhile takes the row from here. */
  readonly #unwrapping = new Map<string, EnvelopeKeyRecord>();
  readonly #staleIfError: StaleIfError;
  readonly #reads: SingleFlight<EnvelopeKeyRecord | undefined>;
  readonly #unwraps: SingleFlight<EnvelopeKey>;
  readonly #latest: SingleFlight<EnvelopeKey>;

  constructor(id: KeyId, dependencies: KeyDependencies) {
    const { policy, now, ages, events } = dependencies;
    this.unreadable = new UnreadableRows(ages);
    this.#id = id;
    this.#dependencies = dependencies;
    this.#cache = new KeyCache(
      {
        maxKeys: policy.maxSystemKeys,
        maxAgeMs: policy.systemKeyMaxAgeMs,
        graceMs: 0,
        evicted: () => events.cacheUsed('system', 'eviction'),
      },
      ages,
    );
    this.#staleIfError = new StaleIfError(dependencies);
    this.#reads = new SingleFlight(policy.flightTimeoutMs, now);
    this.#unwraps = new SingleFlight(policy.flightTimeoutMs, now);
    this.#latest = new SingleFlight(policy.flightTimeoutMs, now);
  }

  /**
   * Returns the key with exactly this id and creation time, for opening Intermediate Keys, even if the key is retired.
   * Returns undefined if the row is absent.
   * @param stale the Intermediate Key that can serve if the metastore stalls
   */
  async load(meta: KeyMeta, deadline: Deadline, stale: StaleKey): Promise<EnvelopeKey | undefined> {
    const cached = this.#counted(this.#cache.get(meta.id, meta.created));
    if (cached !== undefined) return cached;
    const record = await this.#read(meta, deadline, stale);
    return record && this.#unwrap(record, deadline);
  }

  /**
   * Returns the key with exactly this id and creation time, if it may still seal. Returns undefined if the key is
   * retired or its row is absent.
   * @param stale the Intermediate Key that can serve if the metastore stalls
   */
  async loadUsable(meta: KeyMeta, deadline: Deadline, stale: StaleKey): Promise<EnvelopeKey | undefined> {
    const { policy, now } = this.#dependencies;
    const known = this.#standings.get(keyName(meta));
    if (retirementByDate(policy, meta.created, now()) !== undefined || known?.revoked === true) return undefined;
    const cached = this.#counted(this.#ifUsable(this.#cache.get(meta.id, meta.created)));
    if (cached !== undefined) {
      this.#putLatest(cached);
      return cached;
    }
    const record = await this.#read(meta, deadline, stale);
    return record && this.#usable(record, deadline);
  }

  /** Returns the key for sealing new Intermediate Keys. Makes a new one if no existing key may seal. */
  async latest(deadline: Deadline): Promise<EnvelopeKey> {
    const cached = this.#counted(this.#ifUsable(this.#cache.latest(this.#id)));
    if (cached !== undefined) return cached;
    return this.#latest.run(this.#id, deadline, (shared) =>
      findOrCreateKey({
        ...this.#search(shared),
        id: this.#id,
        use: (record) => this.#usable(record, shared),
        create: (rows) => this.#create(rows, shared),
      }),
    );
  }

  /** If there is a key that may seal, loads the newest such key into the cache. Never makes a key. */
  async preload(deadline: Deadline): Promise<void> {
    await findKey({ ...this.#search(deadline), use: (record) => this.#usable(record, deadline) });
  }

  /**
   * Unwraps the newest key with KMS, and discards it. The method takes a key that is dated too far ahead only if there
   * is no other key.
   * @throws KeyfoldError if the key cannot be read or unwrapped, or `KeyNotYetVisible` if there is no key
   */
  async checkLatest(deadline: Deadline): Promise<void> {
    const search = this.#search(deadline);
    const newest = search.latest();
    const open = async (record: EnvelopeKeyRecord): Promise<true> => {
      (await this.#keyBytes(record, deadline)).fill(0);
      return true;
    };
    const found = await findKey({ ...search, latest: () => newest, use: open });
    if ('key' in found) return;
    const ahead = await newest;
    if (ahead !== undefined) await open(ahead);
    else throw new KeyfoldError('KeyNotYetVisible', 'The service has no System Key yet. The first encrypt makes one.');
  }

  /**
   * Makes the next key if the newest one must not seal, or expires within `aheadMs`.
   * @returns the new key. Undefined if no new key is due yet, or if another process has just made one.
   */
  async createAhead(aheadMs: number, deadline: Deadline): Promise<KeyMeta | undefined> {
    const { policy, now } = this.#dependencies;
    const found: FoundKey<EnvelopeKeyRecord> = await findKey({
      ...this.#search(deadline),
      use: async (record) => {
        const lasts = !isRetired(policy, standingOf(record, 0), now());
        return lasts && !isExpired(policy, record.created, now() + aheadMs) ? record : undefined;
      },
    });
    const made = 'rows' in found ? await this.#create(found.rows, deadline) : undefined;
    return made instanceof EnvelopeKey ? metaOf(made.standing) : undefined;
  }

  /** The functions that read the rows of the System Keys from the metastore. */
  #search(deadline: Deadline): Omit<KeySearch<never>, 'use'> {
    const { metastore, now } = this.#dependencies;
    return {
      now,
      latest: () => metastore.loadLatest(this.#id, deadline),
      recent: async (notAfter) => metastore.loadRecent?.(this.#id, notAfter, deadline),
    };
  }

  #create(rows: readonly EnvelopeKeyRecord[], deadline: Deadline): Promise<EnvelopeKey | EnvelopeKeyRecord> {
    const { kms, policy, now, ages } = this.#dependencies;
    const key = {
      kind: 'system',
      id: this.#id,
      rows,
      protect: async (bytes: Buffer, meta: KeyMeta) => {
        // If the KMS changes the key that it gets, such as by zeroing it, the new System Key must stay the same.
        const copy = Buffer.from(bytes);
        try {
          const { wrapped, rowProof } = await kms.wrap(copy, deadline);
          const row = { ...meta, encryptedKey: wrapped };
          return { encryptedKey: wrapped, proof: proofOfSystemKey(row, bytes, rowProof) };
        } finally {
          copy.fill(0);
        }
      },
      whyRetired: (latest: EnvelopeKeyRecord) => retirementOf(policy, this.#standing(latest), now()),
      toKey: (bytes: Buffer, record: EnvelopeKeyRecord) =>
        this.#putLatest(new EnvelopeKey(bytes, ages(), this.#standing(record))),
    } as const;
    return createKey(key, this.#dependencies, deadline);
  }

  /**
   * Makes the key of a record that was just read, if it may still seal. If it must not seal, the function does not call
   * KMS.
   */
  async #usable(record: EnvelopeKeyRecord, deadline: Deadline): Promise<EnvelopeKey | undefined> {
    const { policy, now } = this.#dependencies;
    if (isRetired(policy, this.#standing(record), now())) return undefined;
    // Any key that may seal can seal new Intermediate Keys. Finding out whether a later key exists would take another
    // query.
    return this.#putLatest(await this.#unwrap(record, deadline));
  }

  /** @throws KeyfoldError `KeyRowUnreadable` if the key does not have 256 bits, or if the proof of its row is wrong */
  #check(record: EnvelopeKeyRecord, key: Buffer, basis: RowProofBasis | undefined): void {
    try {
      if (key.length !== KEY_BYTES) throw keyRowUnreadable(record, 'its key does not have 256 bits');
      checkRowProof(record, proofOfSystemKey(record, key, basis), this.#dependencies.keyRowProofs);
    } catch (error) {
      key.fill(0);
      throw error;
    } finally {
      basis?.key.fill(0);
    }
  }

  #putLatest(key: EnvelopeKey): EnvelopeKey {
    const { policy, now } = this.#dependencies;
    this.#cache.putLatest(key, (cached) => isRetired(policy, cached.standing, now()));
    return key;
  }

  /** Returns the key, unless it is retired or its row must be read again before the key seals. */
  #ifUsable(key: EnvelopeKey | undefined): EnvelopeKey | undefined {
    const { policy, now, checkAges } = this.#dependencies;
    if (key === undefined || !isFresh(policy, key.standing, checkAges())) return undefined;
    return isRetired(policy, key.standing, now()) ? undefined : key;
  }

  #counted(key: EnvelopeKey | undefined): EnvelopeKey | undefined {
    this.#dependencies.events.cacheUsed('system', key === undefined ? 'miss' : 'hit');
    return key;
  }

  /** The standing of a key whose record was just read or stored. All keys under it share this object. */
  #standing(record: EnvelopeKeyRecord): KeyStanding {
    const { policy, checkAges } = this.#dependencies;
    const name = keyName(record);
    const known = this.#standings.get(name) ?? this.#cache.stale(record.id, record.created)?.standing;
    const standing = known ?? standingOf(record, checkAges());
    if (known !== undefined) refresh(known, record, checkAges());
    this.#standings.delete(name);
    this.#standings.set(name, standing);
    const [oldest] = this.#standings.keys();
    if (this.#standings.size > policy.maxSystemKeys && oldest !== undefined) this.#standings.delete(oldest);
    return standing;
  }

  async #read(meta: KeyMeta, deadline: Deadline, stale: StaleKey): Promise<EnvelopeKeyRecord | undefined> {
    const name = keyName(meta);
    const row = this.#unwrapping.get(name);
    if (row !== undefined) return row;
    return this.unreadable.unlessKnown(meta, () =>
      this.#staleIfError.read(stale, deadline, (short) =>
        this.#reads.run(name, short, (shared) => this.#dependencies.metastore.load(meta.id, meta.created, shared)),
      ),
    );
  }

  #unwrap(record: EnvelopeKeyRecord, deadline: Deadline): Promise<EnvelopeKey> {
    return this.unreadable.unlessKnown(record, () =>
      this.#unwraps.run(keyName(record), deadline, (shared) => this.#askKms(record, shared)),
    );
  }

  async #askKms(record: EnvelopeKeyRecord, deadline: Deadline): Promise<EnvelopeKey> {
    const cached = this.#cache.get(record.id, record.created);
    if (cached !== undefined) return cached;
    const { ages } = this.#dependencies;
    const name = keyName(record);
    this.#unwrapping.set(name, record);
    try {
      const bytes = await this.#keyBytes(record, deadline);
      const key = new EnvelopeKey(bytes, ages(), this.#standing(record));
      this.#cache.put(key);
      return key;
    } finally {
      this.#unwrapping.delete(name);
    }
  }

  /** Unwraps the key of a record with KMS, and checks it. The caller owns the bytes. */
  async #keyBytes(record: EnvelopeKeyRecord, deadline: Deadline): Promise<Buffer> {
    const unwrapped = await this.#dependencies.kms.unwrap(record.encryptedKey, deadline);
    if ('unreadable' in unwrapped) throw keyRowUnreadable(record, unwrapped.unreadable);
    this.#check(record, unwrapped.key, unwrapped.rowProof);
    return unwrapped.key;
  }
}
