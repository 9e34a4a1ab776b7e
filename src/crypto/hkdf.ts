import { createHmac, type KeyObject } from 'node:crypto';

/** The counter byte of HKDF's first and only block (RFC 5869, section 2.3). */
const FIRST_BLOCK = Buffer.from([1]);

/**
 * Derives 32 bytes from a key: HKDF-Expand with SHA-256 (RFC 5869). There is no extract step, because the key must be
 * uniformly random (section 3.3). Node's own `hkdf` always extracts first.
 * @param key 32 random bytes
 * @param info the parts of `info`, which are concatenated; the caller makes their boundaries unambiguous
 * @returns 32 bytes, whose buffer is the caller's
 */
export function expand32(key: KeyObject, ...info: readonly Uint8Array[]): Buffer {
  const hmac = createHmac('sha256', key);
  for (const part of info) hmac.update(part);
  return hmac.update(FIRST_BLOCK).digest();
}
