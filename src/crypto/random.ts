import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;

/** The length of every key, in bytes. */
export const KEY_BYTES = 32;

let pool: Buffer | undefined;
let used = POOL_BYTES;

/**
 * Fills part of `target` with random bytes from a pool. A system call for twelve bytes would cost forty times as much.
 *
 * The pool is filled at its first use. If it were filled when the process starts, two processes from one snapshot would
 * use the same nonces. The function zeroes the bytes in the pool after it has copied them.
 */
export function fillRandom(target: Buffer, offset: number, length: number): void {
  const { bytes, at } = draw(length);
  // For so few bytes, a loop takes a fraction of the time of `copy` and `fill`.
  for (let i = 0; i < length; i += 1) {
    target[offset + i] = bytes[at + i] as number;
    bytes[at + i] = 0;
  }
}

/** Makes a new 256-bit key. The caller owns the buffer and zeroes it. No other buffer shares the key's memory. */
export function randomKeyBytes(): Buffer {
  const bytes = Buffer.allocUnsafeSlow(KEY_BYTES);
  fillRandom(bytes, 0, bytes.length);
  return bytes;
}

/**
 * Returns true with a probability of 2^-`bits`.
 * @param bits 1 to 32
 */
export function oneIn2To(bits: number): boolean {
  const { bytes, at } = draw(4);
  return bytes.readUInt32LE(at) >>> (32 - bits) === 0;
}

/** Reserves bytes of the pool for one caller. */
function draw(length: number): { bytes: Buffer; at: number } {
  if (pool === undefined || used + length > POOL_BYTES) {
    pool = randomFillSync(pool ?? Buffer.allocUnsafeSlow(POOL_BYTES));
    used = 0;
  }
  used += length;
  return { bytes: pool, at: used - length };
}
