import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto';
import { byteLengthOf, BYTES, check, copyBytes, partOf } from '../input/checks.ts';
import { freeNow } from './free-now.ts';
import { fillRandom } from './random.ts';

const CIPHER = 'aes-256-gcm';
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const TAG_LENGTH = { authTagLength: TAG_BYTES };

/**
 * The nonce of the value that is being sealed or opened, and the tag of the value that is being opened. One buffer of
 * each is enough, because both functions are synchronous. Copying so few bytes costs less than making a new view.
 */
const nonce = Buffer.allocUnsafeSlow(NONCE_BYTES);
const tag = Buffer.allocUnsafeSlow(TAG_BYTES);

/** The number of bytes that sealing adds to a plaintext. */
export const SEAL_OVERHEAD_BYTES = TAG_BYTES + NONCE_BYTES;

/**
 * Seals bytes under a key with AES-256-GCM (NIST SP 800-38D), a fresh random nonce and no additional data.
 * @returns `ciphertext || tag || nonce`, the layout of Asherah. The buffer belongs to the caller.
 * @throws TypeError if the plaintext is not a Uint8Array
 */
export function seal(key: KeyObject, plaintext: Uint8Array): Buffer {
  check(plaintext, 'plaintext', BYTES);
  fillRandom(nonce, 0, NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, TAG_LENGTH);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  // Take the length from the ciphertext, because the plaintext may be of a subclass that overrides `length`.
  const tagAt = ciphertext.length;
  const sealed = Buffer.allocUnsafe(tagAt + SEAL_OVERHEAD_BYTES);
  sealed.set(ciphertext, 0);
  freeNow(ciphertext);
  sealed.set(cipher.getAuthTag(), tagAt);
  sealed.set(nonce, tagAt + TAG_BYTES);
  return sealed;
}

/**
 * Opens a value that {@link seal} or Asherah sealed.
 * @returns the plaintext, whose buffer belongs to the caller. Undefined if the tag is wrong, or if the value is too
 * short to contain a tag.
 */
export function open(key: KeyObject, sealed: Uint8Array): Buffer | undefined {
  const nonceAt = byteLengthOf(sealed) - NONCE_BYTES;
  const tagAt = nonceAt - TAG_BYTES;
  if (tagAt < 0) return undefined;
  copyBytes(sealed, nonceAt, nonce, 0, NONCE_BYTES);
  copyBytes(sealed, tagAt, tag, 0, TAG_BYTES);
  const decipher = createDecipheriv(CIPHER, key, nonce, TAG_LENGTH);
  decipher.setAuthTag(tag);
  const plaintext = decipher.update(partOf(sealed, 0, tagAt));
  try {
    decipher.final();
    return plaintext;
  } catch {
    plaintext.fill(0);
    return undefined;
  }
}
