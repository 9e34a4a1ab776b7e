import type * as nodeCrypto from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { cryptoPolicy } from '../../../src/index.ts';

/** The values that the next random draws return. */
const draws = vi.hoisted(() => ({ next: [] as number[] }));

vi.mock('node:crypto', async (original) => ({
  ...(await original<typeof nodeCrypto>()),
  randomFillSync: (pool: Buffer) => {
    draws.next.forEach((value, i) => pool.writeUInt32LE(value, i * 4));
    return pool;
  },
}));

describe('cryptoPolicy', () => {
  it('by default retires a key with a probability of 2^-27 at each seal', () => {
    const { wearsOut } = cryptoPolicy();
    // Of the 2^32 possible values, only the lowest 32 retire the key.
    draws.next = [0, 31, 32, 2 ** 31, 2 ** 32 - 1];
    expect(draws.next.map(() => wearsOut())).toEqual([true, true, false, false, false]);
  });

  it('has the documented defaults', () => {
    const { wearsOut, ...numbers } = cryptoPolicy();
    expect(numbers).toEqual({
      expireAfterMs: 90 * 24 * 3600 * 1000,
      createDatePrecisionMs: 60_000,
      minSealingCreated: 0,
      minOpeningCreated: 0,
      revokeCheckIntervalMs: 3600 * 1000,
      staleGraceMs: 15 * 60_000,
      systemKeyMaxAgeMs: 3600 * 1000,
      intermediateKeyMaxAgeMs: 3600 * 1000,
      maxSystemKeys: 100,
      maxIntermediateKeys: 10_000,
      flightTimeoutMs: 30_000,
      dataRowKeyMaxMessages: 1,
      dataRowKeyMaxBytes: 64 * 1024 * 1024,
      dataRowKeyMaxAgeMs: 60_000,
    });
    expect(wearsOut).toBeTypeOf('function');
  });

  it('accepts a createDatePrecisionMs that equals expireAfterMs', () => {
    const policy = { expireAfterMs: 5000, createDatePrecisionMs: 5000 };
    expect(cryptoPolicy(policy)).toMatchObject(policy);
    expect(() => cryptoPolicy({ ...policy, createDatePrecisionMs: 5001 })).toThrow(
      'createDatePrecisionMs is more than expireAfterMs: a new key could have expired already',
    );
  });

  it('uses the default if a value is undefined', () => {
    expect(cryptoPolicy({ expireAfterMs: undefined } as never)).toEqual(cryptoPolicy());
  });

  it.for([
    ['NaN', { expireAfterMs: Number.NaN }],
    ['Infinity', { revokeCheckIntervalMs: Infinity }],
    ['zero', { maxSystemKeys: 0 }],
    ['a negative number', { staleGraceMs: -1 }],
    ['a number with a fraction', { flightTimeoutMs: 1.5 }],
  ] as const)('rejects %s as an option that must be a positive whole number', ([, changes]) => {
    const [name] = Object.keys(changes);
    expect(() => cryptoPolicy(changes as never)).toThrow(`${name} must be a positive whole number`);
  });

  it.for([
    ['a number as text', { expireAfterMs: '5' }],
    ['null as a number', { maxIntermediateKeys: null }],
    ['a boolean as a function', { wearsOut: true }],
    ['an unknown option', { expireAfter: 5 }],
    ['null as the options', null],
    ['an array as the options', []],
    ['a number as the options', 5],
  ] as const)('throws a TypeError for %s', ([, changes]) => {
    expect(() => cryptoPolicy(changes as never)).toThrow(TypeError);
  });

  it('accepts at most 2^32 messages per Data Row Key', () => {
    expect(cryptoPolicy({ dataRowKeyMaxMessages: 2 ** 32 }).dataRowKeyMaxMessages).toBe(2 ** 32);
    expect(() => cryptoPolicy({ dataRowKeyMaxMessages: 2 ** 32 + 1 })).toThrow('must not be more than 4294967296');
  });

  it('accepts a flightTimeoutMs up to the maximum duration of a timer', () => {
    expect(cryptoPolicy({ flightTimeoutMs: 2 ** 31 - 1 }).flightTimeoutMs).toBe(2 ** 31 - 1);
    expect(() => cryptoPolicy({ flightTimeoutMs: 2 ** 31 })).toThrow(
      'flightTimeoutMs must not be more than 2147483647',
    );
  });

  it.for<[string, () => unknown]>([
    ['a promise', async () => false],
    ['a string', () => 'no'],
    ['a number', () => 0],
    ['undefined', () => undefined],
  ])('rejects %s as the result of wearsOut', ([, wearsOut]) => {
    const policy = cryptoPolicy({ wearsOut: wearsOut as never });
    expect(policy.wearsOut).toThrow('The answer of policy.wearsOut must be a boolean');
  });

  it.for([true, false])('accepts %s as the result of wearsOut', (answer) => {
    expect(cryptoPolicy({ wearsOut: () => answer }).wearsOut()).toBe(answer);
  });

  it('accepts zero for staleGraceMs', () => {
    expect(cryptoPolicy({ staleGraceMs: 0 }).staleGraceMs).toBe(0);
  });
});
