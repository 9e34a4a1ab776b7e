import type { KeyObject } from 'node:crypto';
import { cryptoPolicy, type CryptoPolicy, type DataRowKeyBounds } from './crypto-policy.ts';
import { checkedKms, checkedMetastore, checkedClock, EVENTS, KMS, METASTORE } from './checked-ports.ts';
import {
  BOOLEAN,
  byteLengthOf,
  BYTES,
  check,
  FUNCTION,
  OBJECT,
  optional,
  optionsOf,
  type Types,
} from '../input/checks.ts';
import { DataRowKey, SharedDataRowKey } from './data-row-key.ts';
import { checkedRecord, decodeDataRowRecord, type DataRowRecord } from '../records/data-row-record.ts';
import { openDataRow, openDataRowKey, rewrapDataRow } from './data-rows.ts';
import { checkLimits, RequestDeadlines, withDeadline, type RequestLimits } from '../async/deadline.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import { recordUnreadable } from '../errors.ts';
import { freeNow } from '../crypto/free-now.ts';
import {
  KeyNaming,
  SERVICE_NAMES,
  type EpochSeconds,
  type KeyId,
  type KeyMeta,
  type PartitionId,
  type ServiceNames,
} from '../records/ids.ts';
import { IntermediateKeys } from './intermediate-keys.ts';
import { keyDependencies } from './key-dependencies.ts';
import { NO_ENVELOPE_EVENTS } from './ports.ts';
import type { EnvelopeEvents, KeyManagementService, Metastore } from './ports.ts';
import type { Clock } from '../async/clock.ts';
import { SystemKeys } from './system-keys.ts';

/** The options of a {@link SessionFactory}. */
export interface SessionFactoryOptions extends ServiceNames {
  readonly metastore: Metastore;
  readonly kms: KeyManagementService;
  /** Replaces members of the default policy. */
  readonly policy?: Partial<CryptoPolicy>;
  /** The clock; `Date.now` by default. Pass another one in tests only: the AWS adapters compare deadlines with the real time. */
  readonly now?: Clock;
  readonly events?: EnvelopeEvents;
}

const OPTIONS: Types<SessionFactoryOptions> = {
  ...SERVICE_NAMES,
  metastore: METASTORE,
  kms: KMS,
  policy: optional(OBJECT),
  now: optional(FUNCTION),
  events: optional(EVENTS),
};

/**
 * Makes the sessions of one service. It holds the cache of decrypted keys, so make one per process and keep it.
 *
 * @example
 * ```ts
 * const factory = new SessionFactory({ service: 'orders', product: 'shop', kms, metastore });
 * const record = await factory.session('tenant-1').encrypt(Buffer.from('a secret'));
 * const plaintext = await factory.session('tenant-1').decrypt(record);
 * ```
 */
export class SessionFactory {
  readonly #dependencies: SessionDependencies;
  readonly #systemKeys: SystemKeys;

  /**
   * @throws TypeError naming an option that has a wrong type or does not exist, or a port that lacks a method
   * @throws KeyfoldError `InvalidConfiguration`, listing the faults of the names and of the policy
   */
  constructor(options: SessionFactoryOptions) {
    const given = optionsOf(options, 'options', OPTIONS);
    const naming = new KeyNaming(given);
    const policy = cryptoPolicy(given.policy);
    const now = checkedClock(given.now);
    const { events = NO_ENVELOPE_EVENTS } = given;
    const ports = { metastore: checkedMetastore(given.metastore), kms: checkedKms(given.kms) };
    const world = keyDependencies({ ...ports, policy, now, events });
    this.#systemKeys = new SystemKeys(naming.systemKeyId, world);
    const keys = new IntermediateKeys(naming, this.#systemKeys, world);
    const shared = new WeakMap<EnvelopeKey, SharedDataRowKey>();
    this.#dependencies = {
      naming,
      keys,
      policy,
      now,
      ages: world.ages,
      shared,
      deadlines: new RequestDeadlines(now),
    };
  }

  /**
   * Loads the service's latest System Key into the cache before the first request. This also opens the connections and loads the code
   * that the first request would need. Call it while no caller waits. It makes no key.
   * @throws TypeError for limits of a wrong type
   * @throws KeyfoldError if the key cannot be loaded. The first request then tries again.
   */
  async preload(limits: RequestLimits = {}): Promise<void> {
    checkLimits(limits);
    await withDeadline(limits, this.#dependencies.now, (deadline) => this.#systemKeys.preload(deadline));
  }

  /**
   * A session for one partition. It is cheap to make and needs no closing.
   * @param keyUsed called with the Intermediate Key of each record that is sealed, opened or moved, for an audit
   * @throws TypeError if the partition is not a string, or `keyUsed` is not a function
   * @throws KeyfoldError `InvalidRequest` for a partition that {@link KeyNaming.parsePartition} refuses
   */
  session(partition: string, keyUsed?: KeyUsed): Session {
    check(keyUsed, 'keyUsed', KEY_USED);
    return new Session(this.#dependencies.naming.parsePartition(partition), this.#dependencies, { keyUsed });
  }
}

/** The objects that all sessions of one service share. */
interface SessionDependencies {
  readonly naming: KeyNaming;
  readonly keys: IntermediateKeys;
  readonly policy: CryptoPolicy;
  readonly now: Clock;
  /** See {@link KeyDependencies}. */
  readonly ages: Clock;
  /** The shared Data Row Key of each Intermediate Key, if the policy allows sharing. It is dropped with the Intermediate Key. */
  readonly shared: WeakMap<EnvelopeKey, SharedDataRowKey>;
  readonly deadlines: RequestDeadlines;
}

/** Called with the id and creation time of each Intermediate Key that was used. */
type KeyUsed = (key: KeyMeta) => void;

/** The parts of a session besides its partition. */
interface SessionExtras {
  readonly keyUsed: KeyUsed | undefined;
  readonly batch?: BatchKeys;
}

/** The Data Row Keys that the items of one request share. */
interface BatchKeys {
  readonly sealing: SharedDataRowKey | undefined;
  /** The Data Row Key that was opened last, with the Intermediate Key that opened it. */
  opened?: { readonly parent: EnvelopeKey; readonly encryptedKey: Uint8Array; readonly key: KeyObject };
}

/** How a Data Row Key seals a payload. */
type Seal<T> = (key: DataRowKey, plaintext: Uint8Array) => T;
const toRecord: Seal<DataRowRecord> = (key, plaintext) => key.seal(plaintext);
const toJson: Seal<string> = (key, plaintext) => key.sealToJson(plaintext);

const KEY_USED = optional(FUNCTION);
const BATCH_OPTIONS = { shareDataRowKey: BOOLEAN };

/** The limits of a Data Row Key that one request shares: as much as one request may contain. */
const OF_ONE_REQUEST: DataRowKeyBounds = {
  dataRowKeyMaxMessages: 1000,
  dataRowKeyMaxBytes: 64 * 1024 * 1024,
  dataRowKeyMaxAgeMs: 60_000,
};

/**
 * Encrypts and decrypts for one partition. {@link SessionFactory.session} makes sessions.
 */
export class Session {
  /** The id of the Intermediate Keys that seal this partition's new records. */
  readonly keyId: KeyId;
  readonly #partition: PartitionId;
  readonly #dependencies: SessionDependencies;
  readonly #keyUsed: KeyUsed | undefined;
  readonly #batch: BatchKeys | undefined;

  /** For {@link SessionFactory.session} only. */
  constructor(partition: PartitionId, dependencies: SessionDependencies, { keyUsed, batch }: SessionExtras) {
    this.#partition = partition;
    this.keyId = dependencies.naming.intermediateKeyId(partition);
    this.#dependencies = dependencies;
    this.#keyUsed = keyUsed;
    this.#batch = batch;
  }

  /**
   * A session of the same partition for the items of one request. Drop it when the request ends. If a record has the same Data Row
   * Key as the record opened before it, the key is not opened again.
   * @param shareDataRowKey whether the new records share one Data Row Key. This is faster, but an attacker who obtains that key can
   * open all of these records (docs/threat-model.md).
   * @throws TypeError if `shareDataRowKey` is not a boolean
   */
  batch(options: { readonly shareDataRowKey: boolean }): Session {
    const { shareDataRowKey } = optionsOf(options, 'options', BATCH_OPTIONS);
    const sealing = shareDataRowKey ? new SharedDataRowKey(OF_ONE_REQUEST) : undefined;
    return new Session(this.#partition, this.#dependencies, { keyUsed: this.#keyUsed, batch: { sealing } });
  }

  /**
   * Seals a payload, which may be empty. The payload stays the caller's: later changes to it do not reach the record.
   * @param plaintext a Uint8Array of any realm, such as a Buffer. Encode text first: `Buffer.from(text)`.
   * @throws TypeError before any key is used, if the payload is not a Uint8Array, or its buffer is detached or has been shrunk below
   * the end of the array; also for limits of a wrong type
   * @throws KeyfoldError such as `KmsUnavailable`, `MetastoreUnavailable` or `DeadlineExceeded`, if no key to seal with can be had
   */
  async encrypt(plaintext: Uint8Array, limits: RequestLimits = {}): Promise<DataRowRecord> {
    return this.#seal(plaintext, limits, toRecord);
  }

  /** As {@link encrypt}, but gives the record as JSON text, ready to be stored. */
  async encryptToJson(plaintext: Uint8Array, limits: RequestLimits = {}): Promise<string> {
    return this.#seal(plaintext, limits, toJson);
  }

  /**
   * Opens a record of this partition.
   * @returns the payload; the buffer is the caller's
   * @throws TypeError before any key is used, if a member of the record or the limits have a wrong type
   * @throws KeyfoldError `RecordUnreadable` if the record is another partition's or was tampered with, or its key row is absent
   */
  async decrypt(record: DataRowRecord, limits: RequestLimits = {}): Promise<Buffer> {
    const given = checkedRecord(record);
    checkLimits(limits);
    const meta = this.#parentOf(given);
    return this.#open(this.#dependencies.keys.cached(meta) ?? (await this.#load(meta, limits)), given);
  }

  /**
   * As {@link decrypt}, but takes the record as JSON text.
   * @throws TypeError if the text is not a string
   * @throws KeyfoldError `InvalidRequest` if the text is not a record, or the errors of {@link decrypt}
   */
  async decryptJson(text: string, limits: RequestLimits = {}): Promise<Buffer> {
    const record = decodeDataRowRecord(text);
    checkLimits(limits);
    const meta = this.#parentOf(record);
    const plaintext = this.#open(this.#dependencies.keys.cached(meta) ?? (await this.#load(meta, limits)), record);
    freeNow(record.data);
    return plaintext;
  }

  /**
   * Moves a record under the partition's latest Intermediate Key. The payload is not opened.
   * @returns the record, and `rewrapped`: false if the record was under that key already and is unchanged
   * @throws TypeError as {@link decrypt}
   * @throws KeyfoldError `RecordUnreadable` as {@link decrypt}, except that a tampered payload is not noticed
   */
  async rewrap(
    record: DataRowRecord,
    limits: RequestLimits = {},
  ): Promise<{ record: DataRowRecord; rewrapped: boolean }> {
    const given = checkedRecord(record);
    checkLimits(limits);
    const meta = this.#parentOf(given);
    const from = this.#dependencies.keys.cached(meta) ?? (await this.#load(meta, limits));
    let to = this.#dependencies.keys.cachedLatest(this.keyId) ?? (await this.#latestKey(limits));
    if (to !== from && this.#dependencies.policy.wearsOut()) to = await this.#successorOf(to, limits);
    for (const key of [from, to]) this.#keyUsed?.(key.standing);
    const moved = rewrapDataRow(from, to, given);
    return moved === given ? { record, rewrapped: false } : { record: moved, rewrapped: true };
  }

  /** Seals a payload now if the key is cached. Otherwise it seals a copy later, which the caller cannot change meanwhile. */
  #seal<T>(plaintext: Uint8Array, limits: RequestLimits, seal: Seal<T>): T | Promise<T> {
    check(plaintext, 'plaintext', BYTES);
    checkLimits(limits);
    const parent = this.#sealingKey(limits);
    return parent instanceof Promise
      ? this.#sealCopy(new Uint8Array(plaintext), parent, seal)
      : seal(this.#dataRowKeyUnder(parent, plaintext), plaintext);
  }

  async #sealCopy<T>(copy: Uint8Array, parent: Promise<EnvelopeKey>, seal: Seal<T>): Promise<T> {
    try {
      return seal(this.#dataRowKeyUnder(await parent, copy), copy);
    } finally {
      copy.fill(0);
    }
  }

  /** The key to seal with. It is a promise only if the key must be loaded or replaced. */
  #sealingKey(limits: RequestLimits): EnvelopeKey | Promise<EnvelopeKey> {
    const cached = this.#dependencies.keys.cachedLatest(this.keyId);
    if (cached === undefined) return this.#latestKey(limits).then((key) => this.#unlessExhausted(key, limits));
    return this.#unlessExhausted(cached, limits);
  }

  /** The key itself, or a promise of its successor if the policy says that the key has reached its usage limit. */
  #unlessExhausted(key: EnvelopeKey, limits: RequestLimits): EnvelopeKey | Promise<EnvelopeKey> {
    return this.#dependencies.policy.wearsOut() ? this.#successorOf(key, limits) : key;
  }

  #open(parent: EnvelopeKey, record: DataRowRecord): Buffer {
    this.#keyUsed?.(parent.standing);
    return openDataRow(this.#dataRowKeyOf(record, parent), record);
  }

  /** The Data Row Key that seals a payload under an Intermediate Key. */
  #dataRowKeyUnder(parent: EnvelopeKey, plaintext: Uint8Array): DataRowKey {
    const { policy, now, ages } = this.#dependencies;
    this.#keyUsed?.(parent.standing);
    const sharing = this.#batch?.sealing ?? (policy.dataRowKeyMaxMessages > 1 ? this.#sharedUnder(parent) : undefined);
    return sharing === undefined
      ? new DataRowKey(parent, now())
      : sharing.take(parent, byteLengthOf(plaintext), now(), ages());
  }

  #sharedUnder(parent: EnvelopeKey): SharedDataRowKey {
    const { policy, shared } = this.#dependencies;
    const known = shared.get(parent);
    if (known !== undefined) return known;
    const made = new SharedDataRowKey(policy);
    shared.set(parent, made);
    return made;
  }

  #dataRowKeyOf(record: DataRowRecord, parent: EnvelopeKey): KeyObject {
    const { encryptedKey } = record.key;
    const last = this.#batch?.opened;
    if (last?.parent === parent && Buffer.compare(last.encryptedKey, encryptedKey) === 0) return last.key;
    const key = openDataRowKey(parent, record);
    if (this.#batch !== undefined) this.#batch.opened = { parent, encryptedKey: new Uint8Array(encryptedKey), key };
    return key;
  }

  #latestKey(limits: RequestLimits): Promise<EnvelopeKey> {
    return this.#dependencies.deadlines.within(limits, (deadline) =>
      this.#dependencies.keys.latest(this.keyId, deadline),
    );
  }

  async #load(meta: KeyMeta, limits: RequestLimits): Promise<EnvelopeKey> {
    const key = await this.#dependencies.deadlines.within(limits, (deadline) =>
      this.#dependencies.keys.load(meta, deadline),
    );
    if (key === undefined) throw recordUnreadable('its Intermediate Key is absent');
    return key;
  }

  /** The Intermediate Key that a record names. Before anything is read, this checks that the key is this partition's. */
  #parentOf(record: DataRowRecord): KeyMeta {
    const { id, created } = record.key.parent;
    const isOurs = id === this.keyId || this.#dependencies.naming.isIntermediateKeyOf(this.#partition, id);
    if (isOurs && Number.isSafeInteger(created)) {
      return { id: id as KeyId, created: created as EpochSeconds };
    }
    throw recordUnreadable('it names a key that is not of this partition');
  }

  /** Marks a key as exhausted, and gives its successor. */
  #successorOf(key: EnvelopeKey, limits: RequestLimits): Promise<EnvelopeKey> {
    key.standing.exhausted = true;
    return this.#latestKey(limits);
  }
}
