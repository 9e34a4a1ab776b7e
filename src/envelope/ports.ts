import type { Deadline } from '../async/deadline.ts';
import type { EpochSeconds, KeyId, KeyMeta } from '../records/ids.ts';

/** A System Key or an Intermediate Key in the encrypted form that the metastore stores. */
export interface EnvelopeKeyRecord extends KeyMeta {
  /** An Intermediate Key sealed under its System Key, or a System Key wrapped by KMS. */
  readonly encryptedKey: Uint8Array;
  /** The System Key that seals this Intermediate Key. Absent on a System Key. */
  readonly parent?: KeyMeta | undefined;
  /**
   * The proof of this row: the 32 bytes that `rowProof` returns. Keyfold checks this proof. Rows that Asherah or an
   * older version of Keyfold wrote have no proof.
   */
  readonly proof?: Uint8Array | undefined;
  /**
   * The mark of an erasure. Absent unless an operator is erasing the partition of this Intermediate Key.
   * {@link Metastore.store} never gets a record with a mark.
   */
  readonly erased?: ErasureMark | undefined;
  /** Whether an operator has revoked the key. A revoked key still decrypts, but no longer encrypts. */
  readonly revoked: boolean;
}

/** One erasure of a partition, as every row of that partition records it. */
export interface Erasure {
  /** The ID of the erasure. */
  readonly erase: string;
  /** When an operator began the erasure. */
  readonly at: EpochSeconds;
  /** The time from which an operator may delete the rows. */
  readonly due: EpochSeconds;
}

/** The mark of an erasure in a row of the partition. Only a mark with a valid proof counts. */
export interface ErasureMark extends Erasure {
  /** The proof of the row and of the erasure, under the row's System Key: 32 bytes. */
  readonly proof: Uint8Array;
}

/**
 * The store of key records. Reads must be strongly consistent. Every method throws `MetastoreUnavailable` if the store
 * fails, `KeyRowUnreadable` for a row that cannot be parsed, and the reason of the deadline's signal if the signal
 * aborts.
 */
export interface Metastore {
  /** Loads the record with exactly this ID and creation time. Undefined if there is none. */
  load(id: KeyId, created: EpochSeconds, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined>;
  /** Loads the record of this ID with the latest creation time. Undefined if there is none. */
  loadLatest(id: KeyId, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined>;
  /**
   * Loads at most ten records of this ID that were created up to `notAfter`, latest first. The list ends before the
   * first row that cannot be parsed. If the latest of these rows cannot be parsed, the method throws
   * `KeyRowUnreadable`.
   *
   * The method is optional. Without it, Keyfold makes a new key if the latest row is dated ahead, even if an older key
   * may still seal. Without it, Keyfold also fails whenever the latest row cannot be read.
   */
  loadRecent?(id: KeyId, notAfter: EpochSeconds, deadline: Deadline): Promise<readonly EnvelopeKeyRecord[]>;
  /**
   * Stores a new record. Never overwrites a record.
   * @returns `duplicate` if the store already has a record with this ID and creation time
   * @throws KeyfoldError `MetastoreUnavailable`, after which the record may or may not have been stored
   */
  store(record: EnvelopeKeyRecord, deadline: Deadline): Promise<'stored' | 'duplicate'>;
}

/**
 * The service that protects System Keys. Both methods throw `KmsThrottled`, `KmsUnavailable` or `KmsMisconfigured`. If
 * the deadline's signal aborts, they throw the signal's reason.
 */
export interface KeyManagementService {
  /** Wraps a System Key. The caller owns `key` and zeroes it afterwards. */
  wrap(key: Uint8Array, deadline: Deadline): Promise<Uint8Array | Wrapped>;
  /**
   * Unwraps bytes that {@link wrap} returned. The caller owns the plaintext and zeroes it.
   * @returns `unreadable`, with the reason, if the bytes are not a wrap, or if this service can never open them
   */
  unwrap(wrapped: Uint8Array, deadline: Deadline): Promise<Unwrapped>;
}

/**
 * A wrapped System Key, from a service that can also prove the key's row. If a service returns only the bytes, the
 * System Key itself proves the row. In that case an attacker who knows an old System Key can forge a proof.
 */
export interface Wrapped {
  readonly wrapped: Uint8Array;
  readonly rowProof?: RowProofBasis | undefined;
}

/**
 * The basis for the proof of a System Key's row. Every {@link KeyManagementService.unwrap} of the key must return the
 * same basis.
 */
export interface RowProofBasis {
  /** A key of 32 bytes that cannot be derived from the System Key. The caller zeroes it. */
  readonly key: Buffer;
  /** The bytes of the wrap that stay the same when a maintenance run renews wraps. */
  readonly sealed: Uint8Array;
}

/** The plaintext of a System Key, or the reason why it cannot be unwrapped. */
export type Unwrapped =
  { readonly key: Buffer; readonly rowProof?: RowProofBasis | undefined } | { readonly unreadable: string };

/** A listener for events of the key lifecycle, for metrics and logs. Its errors are ignored. */
export interface EnvelopeEvents {
  /** Called after a System Key or an Intermediate Key was made and stored. */
  keyCreated(kind: KeyKind, key: KeyMeta): void;
  /** Called after a new key has replaced `key`. */
  keyRetired(kind: KeyKind, key: KeyMeta, why: Retirement): void;
  /** Called for each lookup in a key cache (`hit` or `miss`), and when a full cache drops a key (`eviction`). */
  cacheUsed(kind: KeyKind, outcome: 'hit' | 'miss' | 'eviction'): void;
  /** Called when an Intermediate Key is used although the metastore is down (`staleGraceMs` of CryptoPolicy). */
  servedStale(key: KeyMeta): void;
  /**
   * Called when a row has the mark of an erasure, but the mark has no valid proof, or the System Key of the proof is
   * older than `minOpeningCreated`. The row counts as unmarked.
   */
  markIgnored(key: KeyMeta): void;
  /** Called when a record without a proof opens although the caller passes a context (`unboundBefore`). */
  openedUnbound(key: KeyMeta): void;
}

/** The two kinds of keys in the metastore. */
export type KeyKind = 'system' | 'intermediate';

/**
 * Why a key must not seal.
 * - `expired`: it is older than `expireAfterMs`.
 * - `before-minimum`: it was created before `minSealingCreated` or `minOpeningCreated`.
 * - `revoked`: an operator has revoked it.
 * - `worn`: this process has retired it at its usage limit.
 * - `dated-ahead`: its date is too far in the future.
 * - `parent-retired`: its System Key must not seal, or is absent.
 */
export type Retirement = 'expired' | 'before-minimum' | 'revoked' | 'worn' | 'dated-ahead' | 'parent-retired';

/** Ignores all events. */
export const NO_ENVELOPE_EVENTS: EnvelopeEvents = {
  keyCreated: () => {},
  keyRetired: () => {},
  cacheUsed: () => {},
  servedStale: () => {},
  markIgnored: () => {},
  openedUnbound: () => {},
};
