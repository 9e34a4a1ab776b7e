import { createSecretKey, Decipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { open, seal, SEAL_OVERHEAD_BYTES } from '../../../src/crypto/aead.ts';
import { fillRandom, oneIn2To, randomKeyBytes } from '../../../src/crypto/random.ts';

interface Wycheproof {
  readonly cases: readonly {
    readonly id: number;
    readonly comment: string;
    readonly key: string;
    readonly nonce: string;
    readonly plaintext: string;
    readonly ciphertext: string;
    readonly tag: string;
    readonly result: 'valid' | 'invalid';
  }[];
}

const file = new URL('../vectors/aes-256-gcm-wycheproof.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as Wycheproof;
const key = createSecretKey(Buffer.alloc(32, 1));

it.for(cases)('open returns the result that Wycheproof expects in case $id ($result: $comment)', (vector) => {
  const sealed = Buffer.from(vector.ciphertext + vector.tag + vector.nonce, 'hex');
  const opened = open(createSecretKey(Buffer.from(vector.key, 'hex')), sealed);
  expect(opened?.toString('hex')).toBe(vector.result === 'valid' ? vector.plaintext : undefined);
});

it('the Wycheproof file has valid and invalid cases', () => {
  expect(new Set(cases.map(({ result }) => result))).toEqual(new Set(['valid', 'invalid']));
});

it.for([0, 1, 15, 16, 17, 4096, 100_000])(
  'seal adds 28 bytes to %i bytes, and open returns the original bytes',
  (size) => {
    const plaintext = Buffer.alloc(size, 7);
    const sealed = seal(key, plaintext);
    expect(sealed).toHaveLength(size + SEAL_OVERHEAD_BYTES);
    expect(open(key, sealed)).toEqual(plaintext);
  },
);

it('open returns undefined for a value that is too short to contain a nonce and a tag', () => {
  for (let size = 0; size < SEAL_OVERHEAD_BYTES; size += 1) expect(open(key, Buffer.alloc(size))).toBeUndefined();
});

it('open returns undefined if any single bit has changed', () => {
  const sealed = seal(key, Buffer.from('payload'));
  for (let bit = 0; bit < sealed.length * 8; bit += 1) {
    const tampered = Buffer.from(sealed);
    tampered[bit >> 3] = (tampered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(open(key, tampered)).toBeUndefined();
  }
});

it('open zeroes the plaintext if the tag is wrong', () => {
  const update = vi.spyOn(Decipheriv.prototype, 'update');
  const sealed = seal(key, Buffer.from('payload'));
  sealed[sealed.length - 20] = (sealed[sealed.length - 20] ?? 0) ^ 1;
  expect(open(key, sealed)).toBeUndefined();
  expect(update.mock.results.map(({ value }) => value as unknown)).toEqual([Buffer.alloc(7)]);
  update.mockRestore();
});

it('seal never repeats a nonce, even when the random pool is refilled many times', () => {
  const nonces = Array.from({ length: 5000 }, () => seal(key, Buffer.alloc(0)).subarray(16).toString('hex'));
  expect(new Set(nonces).size).toBe(nonces.length);
  // Among 5,000 nonces, each of the twelve bytes must take all of its 256 values.
  for (let at = 0; at < 24; at += 2) {
    expect(new Set(nonces.map((nonce) => nonce.slice(at, at + 2))).size).toBe(256);
  }
  // Five zero bytes in a row do not occur by chance. They would show that a nonce reaches beyond the end of the pool.
  expect(nonces.filter((nonce) => /^(?:..)*(?:00){5}/.test(nonce))).toEqual([]);
});

it('fillRandom fills only the requested part of a buffer', () => {
  const target = Buffer.alloc(64);
  fillRandom(target, 16, 32);
  expect(target.subarray(0, 16)).toEqual(Buffer.alloc(16));
  expect(target.subarray(48)).toEqual(Buffer.alloc(16));
  expect(target.subarray(16, 48)).not.toEqual(Buffer.alloc(32));
});

it('randomKeyBytes returns 32 bytes that share their memory with no other buffer', () => {
  const [first, second] = [randomKeyBytes(), randomKeyBytes()];
  expect([first.length, first.buffer.byteLength]).toEqual([32, 32]);
  expect(first).not.toEqual(second);
});

it('oneIn2To(n) returns true with a probability of 2^-n', () => {
  const yes = Array.from({ length: 40_000 }, () => oneIn2To(4)).filter(Boolean).length;
  // The expected count is 2,500, with a standard deviation of 48. A difference of ten deviations does not occur by
  // chance.
  expect(Math.abs(yes - 2500)).toBeLessThan(480);
  expect(Array.from({ length: 1000 }, () => oneIn2To(27)).filter(Boolean).length).toBeLessThan(3);
});
