import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import { byteLengthOf, BYTES, check, partOf } from '../input/checks.ts';
import { freeNow } from './free-now.ts';
import { fillRandom } from './random.ts';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const TAG_LENGTH = { authTagLength: TAG_BYTES };

/** The nonce of the seal under way, which nothing interrupts: a view of each result for its nonce would cost more than the copy. */
const nonce = Buffer.allocUnsafeSlow(NONCE_BYTES);

/** How many bytes a sealed value is longer than what it seals. */
export const SEAL_OVERHEAD_BYTES = TAG_BYTES + NONCE_BYTES;

/**
 * Seals bytes under a key with AES-256-GCM (NIST SP 800-38D), a fresh random nonce and no additional data.
 * @returns `ciphertext || tag || nonce`, as Asherah lays it out; the caller's
 * @throws TypeError if the plaintext is no Uint8Array
 */
export function seal(key: KeyObject, plaintext: Uint8Array): Buffer {
  check(plaintext, 'plaintext', BYTES);
  fillRandom(nonce, 0, NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, TAG_LENGTH);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  // The cipher has read the bytes themselves. The plaintext's `length` is a property that a subclass can override.
  const tagAt = ciphertext.length;
  const sealed = Buffer.allocUnsafe(tagAt + SEAL_OVERHEAD_BYTES);
  sealed.set(ciphertext, 0);
  freeNow(ciphertext);
  sealed.set(cipher.getAuthTag(), tagAt);
  sealed.set(nonce, tagAt + TAG_BYTES);
  return sealed;
}

/**
 * Opens what {@link seal}, or any Asherah, sealed.
 * @returns the plaintext, the caller's; undefined where the tag does not hold or the value is too short to have one
 */
export function open(key: KeyObject, sealed: Uint8Array): Buffer | undefined {
  const nonceAt = byteLengthOf(sealed) - NONCE_BYTES;
  const tagAt = nonceAt - TAG_BYTES;
  if (tagAt < 0) return undefined;
  const decipher = createDecipheriv(CIPHER, key, partOf(sealed, nonceAt, nonceAt + NONCE_BYTES), TAG_LENGTH);
  decipher.setAuthTag(partOf(sealed, tagAt, nonceAt));
  const plaintext = decipher.update(partOf(sealed, 0, tagAt));
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
  }
}
