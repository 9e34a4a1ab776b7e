import { cryptoPolicy, type CryptoPolicy } from './crypto-policy.ts';
import type { DataRowRecord } from './data-row-record.ts';
import { openDataRow, rewrapDataRow, sealDataRow } from './data-rows.ts';
import type { RequestLimits } from './deadline.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import { recordUnreadable } from './errors.ts';
import {
  KeyNaming,
  parsePartition,
  type EpochSeconds,
  type KeyId,
  type KeyMeta,
  type PartitionId,
  type ServiceNames,
} from './ids.ts';
import { IntermediateKeys } from './intermediate-keys.ts';
import { NO_ENVELOPE_EVENTS } from './ports.ts';
import type { Clock, EnvelopeEvents, KeyManagementService, Metastore } from './ports.ts';
import { SystemKeys } from './system-keys.ts';
import { Waits } from './waits.ts';

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

/**
 * One service's keys, with the warm cache of those that are in the clear. Make one for a process and keep it: each has a
 * cache of its own.
 */
export class SessionFactory {
  readonly #world: SessionWorld;

  /** @throws KeyfoldError `InvalidConfiguration`, listing what is wrong with the names or with the policy */
  constructor(options: SessionFactoryOptions) {
    const { metastore, kms, now = Date.now, events = NO_ENVELOPE_EVENTS } = options;
    const naming = new KeyNaming(options);
    const policy = cryptoPolicy(options.policy);
    const world = { metastore, kms, policy, now, events };
    const keys = new IntermediateKeys(naming, new SystemKeys(naming.systemKeyId, world), world);
    this.#world = { naming, keys, policy, now, latest: new Waits(now), loads: new Waits(now) };
  }

  /**
   * A session for one partition. It costs nothing to make and holds nothing to be closed.
   * @throws KeyfoldError `InvalidRequest` for a partition that {@link parsePartition} refuses
   */
  session(partition: string): Session {
    return new Session(parsePartition(partition), this.#world);
  }
}

/** What the sessions of one service share. */
interface SessionWorld {
  readonly naming: KeyNaming;
  readonly keys: IntermediateKeys;
  readonly policy: CryptoPolicy;
  readonly now: Clock;
  /** Who waits for a partition's latest key. */
  readonly latest: Waits<EnvelopeKey>;
  /** Who waits for a key that a record names. */
  readonly loads: Waits<EnvelopeKey | undefined>;
}

/** Encrypts and decrypts for one partition. */
export class Session {
  /** The id of the keys that this partition's new records are sealed under. */
  readonly keyId: KeyId;
  readonly #partition: PartitionId;
  readonly #world: SessionWorld;

  /** Made by {@link SessionFactory.session}. */
  constructor(partition: PartitionId, world: SessionWorld) {
    this.#partition = partition;
    this.keyId = world.naming.intermediateKeyId(partition);
    this.#world = world;
  }

  /** Seals a payload, which may be empty and stays the caller's. */
  async encrypt(plaintext: Uint8Array, limits: RequestLimits = {}): Promise<DataRowRecord> {
    let key = this.#world.keys.cachedLatest(this.keyId) ?? (await this.#latestKey(limits));
    if (this.#world.policy.wearsOut()) key = await this.#successorOf(key, limits);
    return sealDataRow(key, plaintext, this.#world.now());
  }

  /**
   * Opens a record of this partition.
   * @returns the payload, which is the caller's
   * @throws KeyfoldError `RecordUnreadable` for one that is not this partition's, was tampered with, or whose key is gone
   */
  async decrypt(record: DataRowRecord, limits: RequestLimits = {}): Promise<Buffer> {
    const meta = this.#parentOf(record);
    return openDataRow(this.#world.keys.cached(meta) ?? (await this.#load(meta, limits)), record);
  }

  /**
   * Moves a record under the partition's latest Intermediate Key without touching its payload.
   * @returns the record and `rewrapped`: false where it was under that key already and is unchanged
   * @throws KeyfoldError `RecordUnreadable` as {@link decrypt}, except that the payload is not looked at
   */
  async rewrap(
    record: DataRowRecord,
    limits: RequestLimits = {},
  ): Promise<{ record: DataRowRecord; rewrapped: boolean }> {
    const meta = this.#parentOf(record);
    const from = this.#world.keys.cached(meta) ?? (await this.#load(meta, limits));
    let to = this.#world.keys.cachedLatest(this.keyId) ?? (await this.#latestKey(limits));
    if (to !== from && this.#world.policy.wearsOut()) to = await this.#successorOf(to, limits);
    const moved = rewrapDataRow(from, to, record);
    return { record: moved, rewrapped: moved !== record };
  }

  #latestKey(limits: RequestLimits): Promise<EnvelopeKey> {
    return this.#world.latest.join(limits, this.keyId, (deadline) => this.#world.keys.latest(this.keyId, deadline));
  }

  async #load(meta: KeyMeta, limits: RequestLimits): Promise<EnvelopeKey> {
    const name = `${meta.created} ${meta.id}`;
    const key = await this.#world.loads.join(limits, name, (deadline) => this.#world.keys.load(meta, deadline));
    if (key === undefined) throw recordUnreadable('its Intermediate Key is absent');
    return key;
  }

  /** The key that the record names, which must be one of this partition's: checked before anything is read. */
  #parentOf(record: DataRowRecord): KeyMeta {
    const { id, created } = record.key.parent;
    if (this.#world.naming.isIntermediateKeyOf(this.#partition, id) && Number.isSafeInteger(created)) {
      return { id, created: created as EpochSeconds };
    }
    throw recordUnreadable('it names a key that is not of this partition');
  }

  /** The key that takes the place of one that has sealed enough. */
  #successorOf(key: EnvelopeKey, limits: RequestLimits): Promise<EnvelopeKey> {
    key.standing.worn = true;
    return this.#latestKey(limits);
  }
}
