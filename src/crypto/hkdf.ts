import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';

/** A secret key, whose bytes OpenSSL holds. */
export type SecretKey = KeyObject;

/** The byte after `info` in HKDF's first and only block: the block's number (RFC 5869, section 2.3). */
export const BLOCK_NUMBER = 1;

/**
 * Derives 32 bytes from a key: HKDF-Expand with SHA-256 (RFC 5869). There is no extract step, because the key must be
 * uniformly random (section 3.3). Node's own `hkdf` always extracts first.
 * @param key 32 random bytes. The caller zeroes them if it passes an array.
 * @param block `info`, then {@link BLOCK_NUMBER}. Hashing one buffer takes half as long as a separate update for each
 * part.
 * @returns 32 bytes, whose buffer belongs to the caller
 */
export function expand32(key: SecretKey | Uint8Array, block: Uint8Array): Buffer {
  return createHmac('sha256', key instanceof Uint8Array ? createSecretKey(key) : key)
    .update(block)
    .digest();
}

/**
 * Derives the same bytes as {@link expand32}, and returns them as text: in base64, or with one character for each byte.
 * It takes a third less time, because Node allocates memory outside V8's heap for a Buffer from OpenSSL. Nothing can
 * zero a string, so do not use this function to derive a key.
 */
export function expand32Text(key: SecretKey, block: Uint8Array, encoding: 'base64' | 'binary'): string {
  return createHmac('sha256', key).update(block).digest(encoding);
}

/**
 * Makes the block for {@link expand32} from all parts of `info`. The caller must make the boundaries of the parts
 * unambiguous.
 */
export function blockOf(...info: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...info, Buffer.of(BLOCK_NUMBER)]);
}

/** Compares two arrays of the same length, in a time that does not depend on where they differ. */
export function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return timingSafeEqual(a, b);
}
