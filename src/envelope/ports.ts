import type { Deadline } from '../async/deadline.ts';
import type { EpochSeconds, KeyId, KeyMeta } from '../records/ids.ts';

/** The row of a System Key or an Intermediate Key in the metastore. The key in it is encrypted. */
export interface EnvelopeKeyRecord extends KeyMeta {
  /** An Intermediate Key sealed by its System Key, or a System Key wrapped by KMS. */
  readonly encryptedKey: Uint8Array;
  /** The System Key that sealed an Intermediate Key. A System Key has no parent. */
  readonly parent?: KeyMeta | undefined;
  /** Set when an operator has revoked the key. A revoked key still opens records, and seals nothing new. */
  readonly revoked: boolean;
}

/**
 * Stores the key rows. Its reads must be consistent. It reports a failure by throwing: `MetastoreUnavailable`,
 * `KeyRowUnreadable` for a row that does not parse, or the reason of the deadline's signal.
 */
export interface Metastore {
  /** The row with exactly this id and creation time; undefined if there is none. */
  load(id: KeyId, created: EpochSeconds, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined>;
  /** The row of this id with the latest creation time; undefined if there is none. */
  loadLatest(id: KeyId, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined>;
  /**
   * Up to ten rows of this id that were created at `notAfter` or earlier, latest first. The list ends before the first row that does
   * not parse. If the latest row does not parse, this throws `KeyRowUnreadable`.
   *
   * The method is optional. Without it, Keyfold makes a new key if the latest row is dated in the future, even if an older key may
   * still seal, and reports an error if the latest row is unreadable.
   */
  loadRecent?(id: KeyId, notAfter: EpochSeconds, deadline: Deadline): Promise<readonly EnvelopeKeyRecord[]>;
  /**
   * Stores a new row. If a row with the same id and creation time exists, that row stays unchanged and the answer is `duplicate`.
   * If this throws, the row may or may not have been stored.
   */
  store(record: EnvelopeKeyRecord, deadline: Deadline): Promise<'stored' | 'duplicate'>;
}

/**
 * Protects System Keys with a master key. It reports a failure by throwing: `KmsThrottled`, `KmsUnavailable`, `KmsMisconfigured`, or the
 * reason of the deadline's signal.
 */
export interface KeyManagementService {
  /** Wraps a System Key. The caller owns `key` and zeroes it. */
  wrap(key: Uint8Array, deadline: Deadline): Promise<Uint8Array>;
  /**
   * Unwraps a System Key that {@link wrap} wrapped. The caller owns the plaintext and zeroes it. If the bytes can never be unwrapped
   * here, the answer is the reason.
   */
  unwrap(wrapped: Uint8Array, deadline: Deadline): Promise<Unwrapped>;
}

/** The plaintext of a System Key, or the reason why it can never be unwrapped. */
export type Unwrapped = { readonly key: Buffer } | { readonly unreadable: string };

/** Events for operators. Callers do not see them. */
export interface EnvelopeEvents {
  /** A new key was made and stored. */
  keyCreated(kind: KeyKind, key: KeyMeta): void;
  /** A new key has replaced this key, for the reason given. */
  keyRetired(kind: KeyKind, key: KeyMeta, why: Retirement): void;
  /** A look-up found the key in the cache or did not, or the full cache dropped a key. */
  cacheUsed(kind: KeyKind, outcome: 'hit' | 'miss' | 'eviction'): void;
  /** The metastore is down, and a cached Intermediate Key is used for longer (`staleGraceMs` of the CryptoPolicy). */
  servedStale(key: KeyMeta): void;
}

/** The two kinds of keys in the metastore. */
export type KeyKind = 'system' | 'intermediate';

/**
 * Why a key seals nothing new: it is too old, was revoked, has reached its usage limit, or is dated too far in the future. With
 * `parent-retired`, its System Key is retired or absent.
 */
export type Retirement = 'expired' | 'revoked' | 'worn' | 'dated-ahead' | 'parent-retired';

/** The event sink that ignores all events. */
export const NO_ENVELOPE_EVENTS: EnvelopeEvents = {
  keyCreated: () => {},
  keyRetired: () => {},
  cacheUsed: () => {},
  servedStale: () => {},
};
