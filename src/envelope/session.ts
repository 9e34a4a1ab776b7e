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

/** What a {@link SessionFactory} is made of. */
export interface SessionFactoryOptions extends ServiceNames {
  readonly metastore: Metastore;
  readonly kms: KeyManagementService;
  /** What differs from the default policy. */
  readonly policy?: Partial<CryptoPolicy>;
  /** The real time but for tests: AWS KMS and DynamoDB go by that, and take a deadline on another scale for over. */
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
 * One service's keys, with the warm cache of those that are in the clear. Make one for a process and keep it: each has a
 * cache of its own.
 */
export class SessionFactory {
  readonly #dependencies: SessionDependencies;
  readonly #systemKeys: SystemKeys;

  /**
   * @throws TypeError naming an option of a wrong type, one that there is not, and a port that lacks a method
   * @throws KeyfoldError `InvalidConfiguration`, listing what is wrong with the names or with the policy
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
   * Has the service's latest System Key in the cache before the first request, and the connections and the code that it takes warm:
   * for a process whose start nobody waits for. Makes no key.
   * @throws TypeError for limits of a wrong type
   * @throws KeyfoldError where it could not be had; requests then try again
   */
  async preload(limits: RequestLimits = {}): Promise<void> {
    checkLimits(limits);
    await withDeadline(limits, this.#dependencies.now, (deadline) => this.#systemKeys.preload(deadline));
  }

  /**
   * A session for one partition. It costs nothing to make and holds nothing to be closed.
   * @param keyUsed told of the Intermediate Key of each record that is sealed, opened or moved, for an audit
   * @throws TypeError for a partition that is not a string, and for a `keyUsed` that is not a function
   * @throws KeyfoldError `InvalidRequest` for a partition that {@link KeyNaming.parsePartition} refuses
   */
  session(partition: string, keyUsed?: KeyUsed): Session {
    check(keyUsed, 'keyUsed', KEY_USED);
    return new Session(this.#dependencies.naming.parsePartition(partition), this.#dependencies, { keyUsed });
  }
}

/** What the sessions of one service share. */
interface SessionDependencies {
  readonly naming: KeyNaming;
  readonly keys: IntermediateKeys;
  readonly policy: CryptoPolicy;
  readonly now: Clock;
  /** See {@link KeyDependencies}. */
  readonly ages: Clock;
  /** What records under an Intermediate Key share, where the policy lets them; gone with that key. */
  readonly shared: WeakMap<EnvelopeKey, SharedDataRowKey>;
  readonly deadlines: RequestDeadlines;
}

/** Is told which key was used. */
type KeyUsed = (key: KeyMeta) => void;

/** What a session has besides its partition. */
interface SessionExtras {
  readonly keyUsed: KeyUsed | undefined;
  readonly batch?: BatchKeys;
}

/** What the items of one request share. */
interface BatchKeys {
  readonly sealing: SharedDataRowKey | undefined;
  /** The Data Row Key that was opened last. */
  opened?: { readonly parent: EnvelopeKey; readonly encryptedKey: Uint8Array; readonly key: KeyObject };
}

/** How a Data Row Key seals a payload. */
type Seal<T> = (key: DataRowKey, plaintext: Uint8Array) => T;
const toRecord: Seal<DataRowRecord> = (key, plaintext) => key.seal(plaintext);
const toJson: Seal<string> = (key, plaintext) => key.sealToJson(plaintext);

const KEY_USED = optional(FUNCTION);
const BATCH_OPTIONS = { shareDataRowKey: BOOLEAN };

/** What the Data Row Key of one request may seal: as much as a request may hold. */
const OF_ONE_REQUEST: DataRowKeyBounds = {
  dataRowKeyMaxMessages: 1000,
  dataRowKeyMaxBytes: 64 * 1024 * 1024,
  dataRowKeyMaxAgeMs: 60_000,
};

/** Encrypts and decrypts for one partition. */
export class Session {
  /** The id of the keys that this partition's new records are sealed under. */
  readonly keyId: KeyId;
  readonly #partition: PartitionId;
  readonly #dependencies: SessionDependencies;
  readonly #keyUsed: KeyUsed | undefined;
  readonly #batch: BatchKeys | undefined;

  /** Made by {@link SessionFactory.session}. */
  constructor(partition: PartitionId, dependencies: SessionDependencies, { keyUsed, batch }: SessionExtras) {
    this.#partition = partition;
    this.keyId = dependencies.naming.intermediateKeyId(partition);
    this.#dependencies = dependencies;
    this.#keyUsed = keyUsed;
    this.#batch = batch;
  }

  /**
   * A session of the same partition for the items of one request, to be let go with it. A record with the Data Row Key of the one
   * opened before it opens without opening that key again.
   * @param shareDataRowKey whether the records that it makes share a Data Row Key, whatever the policy says: faster, and whoever has that key in the clear can
   * open them all (docs/threat-model.md)
   * @throws TypeError if it is not a boolean
   */
  batch(options: { readonly shareDataRowKey: boolean }): Session {
    const { shareDataRowKey } = optionsOf(options, 'options', BATCH_OPTIONS);
    const sealing = shareDataRowKey ? new SharedDataRowKey(OF_ONE_REQUEST) : undefined;
    return new Session(this.#partition, this.#dependencies, { keyUsed: this.#keyUsed, batch: { sealing } });
  }

  /**
   * Seals a payload, which may be empty and stays the caller's. What it holds when this is called is sealed, even if the caller
   * writes to it before the record is there.
   * @param plaintext a Uint8Array of any realm, such as a Buffer; text must be encoded first, `Buffer.from(text)`
   * @throws TypeError, before any key is touched, for a payload that is anything else, whose buffer is detached, or that lies
   * beyond the end of a buffer that was shrunk; also for limits of a wrong type
   */
  async encrypt(plaintext: Uint8Array, limits: RequestLimits = {}): Promise<DataRowRecord> {
    return this.#seal(plaintext, limits, toRecord);
  }

  /** As {@link encrypt}, to the JSON text of the record, which is what to store. */
  async encryptToJson(plaintext: Uint8Array, limits: RequestLimits = {}): Promise<string> {
    return this.#seal(plaintext, limits, toJson);
  }

  /**
   * Opens a record of this partition.
   * @returns the payload, which is the caller's
   * @throws TypeError, before any key is touched, for a member of another type than a record's, and for limits of a wrong type
   * @throws KeyfoldError `RecordUnreadable` for one that is not this partition's, was tampered with, or whose key is gone
   */
  async decrypt(record: DataRowRecord, limits: RequestLimits = {}): Promise<Buffer> {
    const given = checkedRecord(record);
    checkLimits(limits);
    const meta = this.#parentOf(given);
    return this.#open(this.#dependencies.keys.cached(meta) ?? (await this.#load(meta, limits)), given);
  }

  /**
   * As {@link decrypt}, from the JSON text of the record.
   * @throws TypeError for anything but a string
   * @throws KeyfoldError `InvalidRequest` for text that is no record's, or whatever {@link decrypt} throws
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
   * Moves a record under the partition's latest Intermediate Key without touching its payload.
   * @returns the record and `rewrapped`: false where it was under that key already and is unchanged
   * @throws TypeError as {@link decrypt}
   * @throws KeyfoldError `RecordUnreadable` as {@link decrypt}, except that the payload is not looked at
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

  /** Seals a payload: at once if the key is at hand, otherwise a copy that the caller cannot change meanwhile. */
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

  /** The key to seal with; a promise of it only where there is something to wait for. */
  #sealingKey(limits: RequestLimits): EnvelopeKey | Promise<EnvelopeKey> {
    const cached = this.#dependencies.keys.cachedLatest(this.keyId);
    if (cached === undefined) return this.#latestKey(limits).then((key) => this.#unlessExhausted(key, limits));
    return this.#unlessExhausted(cached, limits);
  }

  /** The key itself, or a promise of its successor where it has sealed enough. */
  #unlessExhausted(key: EnvelopeKey, limits: RequestLimits): EnvelopeKey | Promise<EnvelopeKey> {
    return this.#dependencies.policy.wearsOut() ? this.#successorOf(key, limits) : key;
  }

  #open(parent: EnvelopeKey, record: DataRowRecord): Buffer {
    this.#keyUsed?.(parent.standing);
    return openDataRow(this.#dataRowKeyOf(record, parent), record);
  }

  /** The key that is to seal a payload. */
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

  /** The key that the record names, which must be one of this partition's: checked before anything is read. */
  #parentOf(record: DataRowRecord): KeyMeta {
    const { id, created } = record.key.parent;
    const isOurs = id === this.keyId || this.#dependencies.naming.isIntermediateKeyOf(this.#partition, id);
    if (isOurs && Number.isSafeInteger(created)) {
      return { id: id as KeyId, created: created as EpochSeconds };
    }
    throw recordUnreadable('it names a key that is not of this partition');
  }

  /** The key that takes the place of one that has sealed enough. */
  #successorOf(key: EnvelopeKey, limits: RequestLimits): Promise<EnvelopeKey> {
    key.standing.exhausted = true;
    return this.#latestKey(limits);
  }
}
