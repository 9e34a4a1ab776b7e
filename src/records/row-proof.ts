import { blockOf, expand32, type SecretKey } from '../crypto/hkdf.ts';
import type { KeyMeta } from './ids.ts';
import { lengthPrefixed, u64 } from './length-prefixed.ts';

const LABEL = lengthPrefixed('keyfold/row-proof/1');
const KEY_LABEL = lengthPrefixed('keyfold/row-proof-key/1');

/** The content of a key row that its proof covers. */
export interface ProvenRow extends KeyMeta {
  readonly parent?: KeyMeta | undefined;
  /**
   * The sealed key. For a System Key under KMS, the part that stays the same when a maintenance run renews its wraps.
   */
  readonly sealed: Uint8Array;
}

/**
 * The proof of a key row: HKDF-Expand-SHA-256 over its kind, id, date, parent and sealed key. So an attacker who can
 * write to the table, but who has no key, cannot change the key's ID, date or parent. The proof does not cover
 * `Revoked`.
 * @param key for an Intermediate Key, its System Key. For a System Key, the key from {@link rowProofKey}, or the System
 * Key itself if its KMS has no data key.
 */
export function rowProof(
  key: SecretKey | Uint8Array,
  kind: 'system' | 'intermediate' | 'erased',
  { id, created, parent, sealed }: ProvenRow,
): Buffer {
  const block = blockOf(
    LABEL,
    lengthPrefixed(kind),
    lengthPrefixed(id),
    u64(created),
    lengthPrefixed(parent?.id ?? ''),
    u64(parent?.created ?? 0),
    lengthPrefixed(sealed),
  );
  return expand32(key, block);
}

/**
 * Derives the key for the proof of a System Key's row from the data key of its KMS envelope. An attacker who knows an
 * old System Key does not know its data key, and therefore cannot change the date of the row.
 * @param dataKey 32 random bytes, which the caller zeroes
 * @returns 32 bytes, which the caller zeroes
 */
export function rowProofKey(dataKey: Uint8Array): Buffer {
  return expand32(dataKey, blockOf(KEY_LABEL));
}
