import { randomFillSync } from 'node:crypto';

const POOL_BYTES = 4096;

/** How long every key is. */
export const KEY_BYTES = 32;

let pool: Buffer | undefined;
let used = POOL_BYTES;

/**
 * Fills part of `target` with random bytes. They come from a pool, since a system call for twelve bytes costs forty times
 * as much; the pool is filled on first use, never while a process starts (a snapshot of a started process must not repeat
 * its nonces), and what was handed out is zeroed.
 */
export function fillRandom(target: Buffer, offset: number, length: number): void {
  const { bytes, at } = draw(length);
  bytes.copy(target, offset, at, at + length);
  bytes.fill(0, at, at + length);
}

/** A new 256-bit key. The buffer is the caller's, who zeroes it; it shares its memory with no other. */
export function randomKeyBytes(): Buffer {
  const bytes = Buffer.allocUnsafeSlow(KEY_BYTES);
  fillRandom(bytes, 0, bytes.length);
  return bytes;
}

/** Says yes with the probability 2^-`bits`, for 1 to 32 bits. */
export function oneIn2To(bits: number): boolean {
  const { bytes, at } = draw(4);
  return bytes.readUInt32LE(at) >>> (32 - bits) === 0;
}

/** Where in the pool so many bytes are that nobody else is handed. */
function draw(length: number): { bytes: Buffer; at: number } {
  if (pool === undefined || used + length > POOL_BYTES) {
    pool = randomFillSync(pool ?? Buffer.allocUnsafeSlow(POOL_BYTES));
    used = 0;
  }
  used += length;
  return { bytes: pool, at: used - length };
}
