import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';

/** A secret key, whose bytes OpenSSL holds. */
export type SecretKey = KeyObject;

/** The counter byte of HKDF's first and only block (RFC 5869, section 2.3). */
const FIRST_BLOCK = Buffer.from([1]);

/**
 * Derives 32 bytes from a key: HKDF-Expand with SHA-256 (RFC 5869). There is no extract step, because the key must be
 * uniformly random (section 3.3). Node's own `hkdf` always extracts first.
 * @param key 32 random bytes. The caller zeroes them if it passes an array.
 * @param info the parts of `info`, which are concatenated; the caller makes their boundaries unambiguous
 * @returns 32 bytes, whose buffer is the caller's
 */
export function expand32(key: SecretKey | Uint8Array, ...info: readonly Uint8Array[]): Buffer {
  const hmac = createHmac('sha256', key instanceof Uint8Array ? createSecretKey(key) : key);
  // To update the HMAC once with all parts takes half as long as to update it with each.
  return hmac.update(Buffer.concat([...info, FIRST_BLOCK])).digest();
}

/** Compares two arrays of the same length, in a time that does not depend on where they differ. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return timingSafeEqual(a, b);
}
