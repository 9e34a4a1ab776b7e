import type { Deadline } from '../async/deadline.ts';
import type { EpochSeconds, KeyId, KeyMeta } from '../records/ids.ts';

/** A System Key or an Intermediate Key as the metastore keeps it: sealed. */
export interface EnvelopeKeyRecord extends KeyMeta {
  /** The key, sealed by its parent, or wrapped by KMS where it has none. */
  readonly encryptedKey: Uint8Array;
  /** The System Key that seals an Intermediate Key; absent on a System Key. */
  readonly parent?: KeyMeta | undefined;
  /** Set when someone has withdrawn the key: it opens what it sealed, and seals nothing new. */
  readonly revoked: boolean;
}

/**
 * Where key records are kept. Reads are consistent. Every trouble is a throw: `MetastoreUnavailable`, `KeyRowUnreadable`
 * for a row that does not parse, or the deadline's reason.
 */
export interface Metastore {
  /** The record of that very id and time; undefined where there is none. */
  load(id: KeyId, created: EpochSeconds, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined>;
  /** The record of that id created last; undefined where there is none. */
  loadLatest(id: KeyId, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined>;
  /**
   * The records of that id that were created up to a date, latest first, at most ten. The list ends before the first row
   * that does not parse; if that is the latest of them, this throws `KeyRowUnreadable`. Without this method, a row dated ahead
   * is followed by a new key even if an older one may still seal, and a latest row that cannot be read is always an error.
   */
  loadRecent?(id: KeyId, notAfter: EpochSeconds, deadline: Deadline): Promise<readonly EnvelopeKeyRecord[]>;
  /**
   * Keeps a new record. `duplicate` says that one of the same id and time is there already, which then stays as it is. After
   * a throw the record may have been stored, or not.
   */
  store(record: EnvelopeKeyRecord, deadline: Deadline): Promise<'stored' | 'duplicate'>;
}

/** What protects System Keys. Throws `KmsThrottled`, `KmsUnavailable`, `KmsMisconfigured` or the deadline's reason. */
export interface KeyManagementService {
  /** Wraps a System Key. `key` stays the caller's, who zeroes it. */
  wrap(key: Uint8Array, deadline: Deadline): Promise<Uint8Array>;
  /**
   * Unwraps what {@link wrap} made. The plaintext is the caller's, who zeroes it; undefined, with a reason, where these
   * bytes are no wrap or one that cannot ever open here.
   */
  unwrap(wrapped: Uint8Array, deadline: Deadline): Promise<Unwrapped>;
}

/** A System Key's plaintext, or why there is none. */
export type Unwrapped = { readonly key: Buffer } | { readonly unreadable: string };

/** What an operator wants to know of and no caller sees. */
export interface EnvelopeEvents {
  /** A System Key or an Intermediate Key was made and stored. */
  keyCreated(kind: KeyKind, key: KeyMeta): void;
  /** A key has been followed by a new one, and why. */
  keyRetired(kind: KeyKind, key: KeyMeta, why: Retirement): void;
  /** A key was wanted and was in the cache or not; or one was dropped from a full cache. */
  cacheUsed(kind: KeyKind, outcome: 'hit' | 'miss' | 'eviction'): void;
  /** The metastore is down, and an Intermediate Key goes on serving without it (CryptoPolicy `staleGraceMs`). */
  servedStale(key: KeyMeta): void;
}

/** The two kinds of keys that the metastore keeps. */
export type KeyKind = 'system' | 'intermediate';

/**
 * Why a key seals nothing new: too old, withdrawn, sealed enough, dated too far ahead, or the System Key over it is one of
 * these or gone.
 */
export type Retirement = 'expired' | 'revoked' | 'worn' | 'dated-ahead' | 'parent-retired';

/** For who wants to know nothing. */
export const NO_ENVELOPE_EVENTS: EnvelopeEvents = {
  keyCreated: () => {},
  keyRetired: () => {},
  cacheUsed: () => {},
  servedStale: () => {},
};
