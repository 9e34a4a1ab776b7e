import type { KeyObject } from 'node:crypto';
import type { Clock } from '../async/clock.ts';
import { checkLimits, type RequestDeadlines, type RequestLimits } from '../async/deadline.ts';
import { freeNow } from '../crypto/free-now.ts';
import { utf8Of } from '../crypto/utf8.ts';
import { KeyfoldError, recordUnreadable } from '../errors.ts';
import { BOOLEAN, byteLengthOf, BYTES, check, optionsOf, STRING } from '../input/checks.ts';
import { decodeCompactRecord, encodeCompactRecord, looksCompact } from '../records/compact-record.ts';
import { checkedRecord, copyOf, decodeDataRowRecord, type DataRowRecord } from '../records/data-row-record.ts';
import {
  metaOf,
  type EpochSeconds,
  type KeyId,
  type KeyMeta,
  type KeyNaming,
  type PartitionId,
} from '../records/ids.ts';
import { bindingOf, type Binding, type RecordContext, type RecordPlace } from '../records/record-proof.ts';
import { bindingToProve, checkSealing, type ContextRules } from './context-rules.ts';
import type { CryptoPolicy, DataRowKeyBounds } from './crypto-policy.ts';
import { DataRowKey, SharedDataRowKey } from './data-row-key.ts';
import { openDataRow, openDataRowKey, rewrapDataRow } from './data-rows.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import type { IntermediateKeys } from './intermediate-keys.ts';
import type { EnvelopeEvents } from './ports.ts';

/** The objects that all sessions of one service share. */
export interface SessionDependencies {
  readonly naming: KeyNaming;
  readonly keys: IntermediateKeys;
  readonly policy: CryptoPolicy;
  readonly now: Clock;
  /** The clock for the ages of cached keys, as in `KeyDependencies`. */
  readonly ages: Clock;
  /**
   * The shared Data Row Key of each Intermediate Key, if the policy allows sharing. The garbage collector frees it
   * together with the Intermediate Key.
   */
  readonly shared: WeakMap<EnvelopeKey, SharedDataRowKey>;
  readonly deadlines: RequestDeadlines;
  readonly contextRules: ContextRules;
  readonly events: Pick<EnvelopeEvents, 'openedUnbound'>;
}

/** Called with the ID and the creation date of each Intermediate Key that the session uses. */
export type KeyUsed = (key: KeyMeta) => void;

interface SessionExtras {
  readonly keyUsed: KeyUsed | undefined;
  readonly batch?: BatchKeys | undefined;
  readonly binding?: Binding | undefined;
}

/** The Data Row Keys that the items of one request share. */
interface BatchKeys {
  /** The key for new records. Undefined if each record gets its own Data Row Key. */
  readonly sealing: SharedDataRowKey | undefined;
  /** The Data Row Key that was opened last, with its sealed form and its Intermediate Key. */
  opened?: { readonly parent: EnvelopeKey; readonly encryptedKey: Uint8Array; readonly key: KeyObject };
}

/** Seals a payload under a Data Row Key. Returns the record, or the JSON text of the record. */
type Seal<T> = (key: DataRowKey, plaintext: Uint8Array, binding: Binding | undefined) => T;
const toRecord: Seal<DataRowRecord> = (key, plaintext, binding) => key.seal(plaintext, binding);
const toJson: Seal<string> = (key, plaintext, binding) => key.sealToJson(plaintext, binding);

const BATCH_OPTIONS = { shareDataRowKey: BOOLEAN };

/**
 * The limits for a Data Row Key that the items of one request share. They equal the limits for the size of a request.
 */
const REQUEST_BOUNDS: DataRowKeyBounds = {
  dataRowKeyMaxMessages: 1000,
  dataRowKeyMaxBytes: 64 * 1024 * 1024,
  dataRowKeyMaxAgeMs: 60_000,
};

/** Encrypts and decrypts for one partition. `SessionFactory.session` makes sessions. */
export class Session {
  /** The id of the Intermediate Keys that encrypt new records of this partition. */
  readonly keyId: KeyId;
  readonly #partition: PartitionId;
  readonly #dependencies: SessionDependencies;
  readonly #keyUsed: KeyUsed | undefined;
  readonly #batch: BatchKeys | undefined;
  readonly #binding: Binding | undefined;

  /** Internal: call `SessionFactory.session` instead. */
  constructor(
    partition: PartitionId,
    keyId: KeyId,
    dependencies: SessionDependencies,
    { keyUsed, batch, binding }: SessionExtras,
  ) {
    this.#partition = partition;
    this.keyId = keyId;
    this.#dependencies = dependencies;
    this.#keyUsed = keyUsed;
    this.#batch = batch;
    this.#binding = binding;
  }

  /** Whether {@link withContext} made the session. */
  get hasContext(): boolean {
    return this.#binding !== undefined;
  }

  /**
   * Makes a session of the same partition for one place, such as a column of a row. The new session's `encrypt` binds
   * records to that place, and its `decrypt` opens only records that were bound to that place. If an attacker moves or
   * swaps a record, decryption fails with `RecordUnreadable`. The record does not contain the context, so callers must
   * pass the same context to decrypt it.
   *
   * `rewrap` needs no context, and keeps the binding of a record.
   * @param context the names and values that identify the place, in any order. The session reads it during this call.
   * @param place whether the payload is a field of a document, and the path of that field
   * @throws TypeError for a context that is not an object of strings, and for a wrong place
   * @throws KeyfoldError `InvalidRequest` if the context is empty, too large, or not well-formed Unicode
   * @example
   * const session = keyfold.session('customer-1234');
   * const email = session.withContext({ table: 'users', id: '42', column: 'email' });
   * const text = await email.encryptToJson(Buffer.from('ada@example.com'));
   * const payload = await email.decryptJson(text);
   */
  withContext(context: RecordContext, place?: RecordPlace): Session {
    return this.#with(this.#batch, bindingOf(context, place));
  }

  /**
   * Makes a session of the same partition for the items of one request. Discard the session when the request ends. If
   * consecutive records have the same Data Row Key, the session opens that key only once.
   * @param options with `shareDataRowKey`, all new records share one Data Row Key, even if the policy does not allow
   * sharing. Sharing is faster, but an attacker who has the plaintext of the shared key can open all these records
   * (docs/explanation/threat-model.md).
   * @throws TypeError if `shareDataRowKey` is not a boolean
   */
  batch(options: { readonly shareDataRowKey: boolean }): Session {
    const { shareDataRowKey } = optionsOf(options, 'options', BATCH_OPTIONS);
    const sealing = shareDataRowKey ? new SharedDataRowKey(REQUEST_BOUNDS) : undefined;
    return this.#with({ sealing }, this.#binding);
  }

  #with(batch: BatchKeys | undefined, binding: Binding | undefined): Session {
    const extras = { keyUsed: this.#keyUsed, batch, binding };
    return new Session(this.#partition, this.keyId, this.#dependencies, extras);
  }

  /**
   * Encrypts a payload, which may be empty. The record contains the bytes as they are when the method is called, even
   * if the caller overwrites them before the promise resolves.
   * @param plaintext a Uint8Array of any realm, such as a Buffer. Encode text first: `Buffer.from(text)`.
   * @throws TypeError, before any key is touched, if `plaintext` is not a Uint8Array, if its buffer is detached, or if
   * its buffer was shrunk and is now too small for it
   * @throws TypeError for limits of the wrong type
   * @throws KeyfoldError `ContextRequired`, before any key is touched, if the session has no context and {@link
   * ContextRules} require one
   * @throws KeyfoldError if no key to encrypt with can be loaded or made
   */
  async encrypt(plaintext: Uint8Array, limits: RequestLimits = {}): Promise<DataRowRecord> {
    return this.#seal(plaintext, limits, toRecord);
  }

  /** Encrypts a payload like {@link encrypt}. Returns the JSON text of the record, which is ready to be stored. */
  async encryptToJson(plaintext: Uint8Array, limits: RequestLimits = {}): Promise<string> {
    return this.#seal(plaintext, limits, toJson);
  }

  /**
   * Decrypts a record of this partition, as it is when the method is called.
   * @returns the payload, which the caller owns
   * @throws TypeError, before any key is touched, if a member of the record or of the limits has the wrong type
   * @throws KeyfoldError `ContextRequired`, before any key is touched, if the session has no context, and either the
   * record has a proof or {@link ContextRules} require a context
   * @throws KeyfoldError `RecordUnreadable` if the record belongs to another partition, was changed, is not bound to
   * the session's context, or names a key that is absent
   */
  async decrypt(record: DataRowRecord, limits: RequestLimits = {}): Promise<Buffer> {
    return this.#decryptChecked(checkedRecord(record), limits);
  }

  /**
   * Whether a record opens under the keys of this partition, with any context. The method does not return the payload.
   * @throws the errors of {@link decrypt}, except `ContextRequired` and `RecordUnreadable`
   */
  async opensUnbound(record: DataRowRecord, limits: RequestLimits = {}): Promise<boolean> {
    const given = copyOf(checkedRecord(record));
    checkLimits(limits);
    try {
      this.#open(await this.#parentOf(given, limits), given, undefined).fill(0);
      return true;
    } catch (error) {
      if (error instanceof KeyfoldError && error.code === 'RecordUnreadable') return false;
      throw error;
    }
  }

  /**
   * Decrypts a record from its JSON text. In addition to the errors of {@link decrypt}, it throws these:
   * @throws TypeError if `text` is not a string
   * @throws KeyfoldError `InvalidRequest` if the text is not a record
   */
  async decryptJson(text: string, limits: RequestLimits = {}): Promise<Buffer> {
    const record = decodeDataRowRecord(text);
    const plaintext = await this.#decryptChecked(record, limits);
    freeNow(record.data);
    return plaintext;
  }

  /**
   * Encrypts text, and returns its compact record. That record is a string, so it fits into a text column or a string
   * field.
   * @throws TypeError, before any key is touched, if `text` is not a string
   * @throws KeyfoldError `InvalidRequest` if the text has a lone surrogate, which UTF-8 cannot encode
   * @throws KeyfoldError if no key to encrypt with can be loaded or made
   * @example
   * const record = await session.encryptText('4111111111111111'); // kf1.AABrCrAD…
   * const text = await session.decryptText(record); // 4111111111111111
   */
  async encryptText(text: string, limits: RequestLimits = {}): Promise<string> {
    check(text, 'text', STRING);
    if (!text.isWellFormed()) throw new KeyfoldError('InvalidRequest', 'The text is not well-formed Unicode.');
    const record = encodeCompactRecord(await this.#seal(Buffer.from(text), limits, toRecord), 'bytes');
    if (record !== undefined) return record;
    throw new Error('a new record has no compact form');
  }

  /**
   * Decrypts a record to text. The record is a string: a compact record, or the JSON text of a record.
   * @returns the text. For the record of a field (`kf1j.…`), this is the JSON text of the field's value.
   * @throws TypeError if `record` is not a string
   * @throws KeyfoldError `InvalidRequest` if the string is not a record
   * @throws KeyfoldError `RecordUnreadable` if {@link decrypt} would throw it, or if the payload is not UTF-8
   */
  async decryptText(record: string, limits: RequestLimits = {}): Promise<string> {
    check(record, 'record', STRING);
    const given = looksCompact(record) ? decodeCompactRecord(record).record : decodeDataRowRecord(record);
    const payload = await this.decrypt(given, limits);
    const text = utf8Of(payload);
    freeNow(payload);
    if (text !== undefined) return text;
    throw recordUnreadable('the payload is not UTF-8');
  }

  /**
   * Moves a record, as it is when the method is called, to the latest Intermediate Key of the partition. The payload is
   * neither opened nor changed. The method throws the errors of {@link decrypt} except `ContextRequired`, and does not
   * notice if someone has changed the payload. A record keeps its proof. A record without a proof does not get one: to
   * bind it, decrypt it and encrypt it with a context.
   * @returns the new record, which shares no memory with the given one. If the record was already under the latest key,
   * `rewrapped` is false and the given record is returned.
   */
  async rewrap(
    record: DataRowRecord,
    limits: RequestLimits = {},
  ): Promise<{ record: DataRowRecord; rewrapped: boolean }> {
    const given = copyOf(checkedRecord(record));
    checkLimits(limits);
    const from = await this.#parentOf(given, limits);
    let to = this.#dependencies.keys.cachedLatest(this.keyId) ?? (await this.#latestKey(limits));
    if (to !== from && this.#dependencies.policy.wearsOut()) to = await this.#successorOf(to, limits);
    for (const key of [from, to]) this.#keyUsed?.(metaOf(key.standing));
    const moved = rewrapDataRow(from, to, given);
    return moved === given ? { record, rewrapped: false } : { record: moved, rewrapped: true };
  }

  /**
   * Seals a payload immediately if the key is cached. Otherwise the method copies the payload first, because the caller
   * may overwrite it while the key loads.
   */
  #seal<T>(plaintext: Uint8Array, limits: RequestLimits, seal: Seal<T>): T | Promise<T> {
    check(plaintext, 'plaintext', BYTES);
    checkLimits(limits);
    checkSealing(this.#dependencies.contextRules, this.#binding);
    const parent = this.#sealingKey(limits);
    return parent instanceof Promise
      ? this.#sealCopy(new Uint8Array(plaintext), parent, seal)
      : seal(this.#dataRowKeyUnder(parent, plaintext), plaintext, this.#binding);
  }

  async #sealCopy<T>(copy: Uint8Array, parent: Promise<EnvelopeKey>, seal: Seal<T>): Promise<T> {
    try {
      return seal(this.#dataRowKeyUnder(await parent, copy), copy, this.#binding);
    } finally {
      copy.fill(0);
    }
  }

  /** Returns the Intermediate Key for sealing. Returns a promise only if the key is not cached. */
  #sealingKey(limits: RequestLimits): EnvelopeKey | Promise<EnvelopeKey> {
    const cached = this.#dependencies.keys.cachedLatest(this.keyId);
    if (cached === undefined) return this.#latestKey(limits).then((key) => this.#unlessExhausted(key, limits));
    return this.#unlessExhausted(cached, limits);
  }

  /** Returns the given key, or a promise of the next key if this seal retires the given key at its usage limit. */
  #unlessExhausted(key: EnvelopeKey, limits: RequestLimits): EnvelopeKey | Promise<EnvelopeKey> {
    return this.#dependencies.policy.wearsOut() ? this.#successorOf(key, limits) : key;
  }

  /**
   * Decrypts a record immediately if the key is cached. Otherwise the method copies the record first, because the
   * caller may overwrite it while the key loads.
   */
  #decryptChecked(record: DataRowRecord, limits: RequestLimits): Buffer | Promise<Buffer> {
    checkLimits(limits);
    const binding = bindingToProve(this.#dependencies.contextRules, record, this.#binding);
    const parent = this.#parentOf(record, limits);
    if (!(parent instanceof Promise)) return this.#decrypt(parent, record, binding);
    const copy = copyOf(record);
    return parent.then((key) => this.#decrypt(key, copy, binding));
  }

  /** Opens a record. Reports the record if it opens without a proof although the caller passed a context. */
  #decrypt(parent: EnvelopeKey, record: DataRowRecord, binding: Binding | undefined): Buffer {
    const plaintext = this.#open(parent, record, binding);
    const { id, created } = parent.standing;
    if (binding !== this.#binding) this.#dependencies.events.openedUnbound({ id, created });
    return plaintext;
  }

  #open(parent: EnvelopeKey, record: DataRowRecord, binding: Binding | undefined): Buffer {
    this.#keyUsed?.(metaOf(parent.standing));
    return openDataRow(this.#dataRowKeyOf(record, parent), record, binding);
  }

  /**
   * The Data Row Key for a new record. It is a new key, unless the request or the policy allows records to share a key.
   */
  #dataRowKeyUnder(parent: EnvelopeKey, plaintext: Uint8Array): DataRowKey {
    const { policy, now, ages } = this.#dependencies;
    this.#keyUsed?.(metaOf(parent.standing));
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

  /**
   * Returns the Intermediate Key that a record names. Returns a promise only if the key is not cached.
   * @throws KeyfoldError `RecordUnreadable`, before any key is read, if the key belongs to another partition
   */
  #parentOf(record: DataRowRecord, limits: RequestLimits): EnvelopeKey | Promise<EnvelopeKey> {
    const { id, created } = record.key.parent;
    const isOurs = id === this.keyId || this.#dependencies.naming.isIntermediateKeyOf(this.#partition, id);
    if (isOurs && Number.isSafeInteger(created)) {
      const meta = { id: id as KeyId, created: created as EpochSeconds };
      return this.#dependencies.keys.cached(meta) ?? this.#load(meta, limits);
    }
    throw recordUnreadable('it names a key that is not of this partition');
  }

  /** Retires a key at its usage limit, and returns the next key. */
  #successorOf(key: EnvelopeKey, limits: RequestLimits): Promise<EnvelopeKey> {
    key.standing.exhausted = true;
    return this.#latestKey(limits);
  }
}
