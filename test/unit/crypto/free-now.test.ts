import { describe, expect, it, vi } from 'vitest';
import { freeNow } from '../../../src/crypto/free-now.ts';
import { encodeCompactRecord } from '../../../src/index.ts';
import { FakeDependencies } from '../../support/fakes.ts';

const MIB = 1024 * 1024;

describe('freeNow', () => {
  it('frees memory without garbage collection', () => {
    const bytes = Buffer.alloc(16 * MIB, 1);
    const before = process.memoryUsage().arrayBuffers;
    freeNow(bytes);
    expect(bytes).toHaveLength(0);
    expect(before - process.memoryUsage().arrayBuffers).toBeGreaterThanOrEqual(16 * MIB);
  });

  it('frees an array of 256 bytes', () => {
    const bytes = Buffer.alloc(256, 7);
    freeNow(bytes);
    expect(bytes).toHaveLength(0);
  });

  it.for([
    ['a part of a larger buffer', Buffer.alloc(4096, 7).subarray(1)],
    ['a part of the pool of Buffer', Buffer.from('x'.repeat(1000))],
    ['shared between threads', new Uint8Array(new SharedArrayBuffer(4096))],
    ['shorter than 256 bytes', Buffer.alloc(255, 7)],
  ] as const)('does not free an array that is %s', ([, bytes]) => {
    const before = Buffer.from(bytes);
    freeNow(bytes);
    expect(Buffer.from(bytes)).toEqual(before);
  });

  it('does nothing in Node 20, which lacks ArrayBuffer.transfer', async () => {
    const transfer = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'transfer') as PropertyDescriptor;
    Reflect.deleteProperty(ArrayBuffer.prototype, 'transfer');
    try {
      const session = new FakeDependencies().process().session('p');
      const payload = Buffer.alloc(100_000, 5);
      expect(await session.decryptJson(await session.encryptToJson(payload))).toEqual(payload);
    } finally {
      Reflect.defineProperty(ArrayBuffer.prototype, 'transfer', transfer);
    }
  });

  it('frees each copy of the payload that a session or a codec makes', async () => {
    const session = new FakeDependencies().process().session('p');
    const payload = Buffer.alloc(100_000, 5);
    const sealed = payload.length + 28;
    const record = await session.encrypt(payload);
    const text = await session.encryptToJson(payload);
    const given: number[] = [];
    const real = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'transfer')?.value as (size: number) => unknown;
    const transfer = vi.spyOn(ArrayBuffer.prototype, 'transfer').mockImplementation(function (
      this: ArrayBuffer,
      size = 0,
    ) {
      given.push(this.byteLength);
      return Reflect.apply(real, this, [size]) as never;
    });
    try {
      await session.encrypt(payload);
      expect(given.splice(0)).toEqual([payload.length]);
      await session.encryptToJson(payload);
      expect(given.splice(0)).toEqual([payload.length, sealed]);
      await session.decryptJson(text);
      expect(given.splice(0)).toEqual([sealed]);
      encodeCompactRecord(record, 'bytes');
      expect(given.splice(0)).toEqual([sealed + 60 + 14 + Buffer.byteLength(record.key.parent.id)]);
    } finally {
      transfer.mockRestore();
    }
  });

  it("never frees the caller's payload or record", async () => {
    const session = new FakeDependencies().process().session('p');
    const payload = Buffer.alloc(100_000, 5);
    const text = await session.encryptToJson(payload);
    const record = await session.encrypt(payload);
    expect(payload).toEqual(Buffer.alloc(100_000, 5));
    for (let i = 0; i < 2; i += 1) {
      expect(await session.decryptJson(text)).toEqual(payload);
      expect(await session.decrypt(record)).toEqual(payload);
    }
  });
});
