import { isEqual } from '../crypto/hkdf.ts';
import { keyRowUnreadable } from '../errors.ts';
import { byteLengthOf } from '../input/checks.ts';
import { PROOF_BYTES } from '../records/record-proof.ts';
import { rowProof } from '../records/row-proof.ts';
import type { KeyRowProofs } from './key-dependencies.ts';
import type { EnvelopeKeyRecord, RowProofBasis } from './ports.ts';

/**
 * Checks the proof of a key row in constant time.
 * @param expected the proof that the row should have
 * @throws KeyfoldError `KeyRowUnreadable` if the proof is wrong, or if it is absent and the mode is `require`
 */
export function checkRowProof(record: EnvelopeKeyRecord, expected: Uint8Array, mode: KeyRowProofs): void {
  const { proof } = record;
  if (proof === undefined) {
    if (mode === 'require') throw keyRowUnreadable(record, 'it has no proof');
  } else if (byteLengthOf(proof) !== PROOF_BYTES || !isEqual(proof, expected)) {
    throw keyRowUnreadable(record, 'its proof does not hold');
  }
}

/**
 * Returns the correct proof for the row of a System Key.
 * @param systemKey the plaintext of the key, which proves the row if the KMS returns no basis
 * @param basis the basis that the KMS returns. This function zeroes the key in the basis.
 */
export function proofOfSystemKey(
  row: Omit<EnvelopeKeyRecord, 'revoked' | 'proof'>,
  systemKey: Uint8Array,
  basis: RowProofBasis | undefined,
): Buffer {
  try {
    const proven = { id: row.id, created: row.created, sealed: basis?.sealed ?? row.encryptedKey };
    return rowProof(basis?.key ?? systemKey, 'system', proven);
  } finally {
    basis?.key.fill(0);
  }
}
