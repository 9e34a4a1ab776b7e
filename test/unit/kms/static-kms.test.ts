import { describe, expect, it } from 'vitest';
import { STATIC_KMS_OVERRIDE, StaticKms } from '../../../src/index.ts';

const masterKey = Buffer.alloc(32, 7);
const lambda = { AWS_LAMBDA_FUNCTION_NAME: 'api' };

describe('a static master key', () => {
  it('wraps and unwraps, and leaves the bytes it was given alone', async () => {
    const kms = new StaticKms(masterKey, {});
    const key = Buffer.alloc(32, 5);
    const wrapped = await kms.wrap(key);
    expect(wrapped).toHaveLength(60);
    expect(key).toEqual(Buffer.alloc(32, 5));
    expect(await new StaticKms(masterKey, {}).unwrap(wrapped)).toEqual({ key });
  });

  it("says of another master key's wrap that it cannot be read", async () => {
    const wrapped = await new StaticKms(Buffer.alloc(32, 1), {}).wrap(Buffer.alloc(32));
    expect(await new StaticKms(masterKey, {}).unwrap(wrapped)).toEqual({
      unreadable: 'it does not open under the static master key',
    });
  });

  it('refuses Lambda, and says how to insist', () => {
    expect(() => new StaticKms(masterKey, lambda)).toThrow(STATIC_KMS_OVERRIDE);
    expect(() => new StaticKms(masterKey, lambda, 'yes')).toThrow('protects nothing in Lambda');
    expect(new StaticKms(masterKey, lambda, STATIC_KMS_OVERRIDE)).toBeInstanceOf(StaticKms);
  });

  it('is of 256 bits', () => {
    for (const bytes of [0, 16, 31, 33]) {
      expect(() => new StaticKms(Buffer.alloc(bytes), {})).toThrow(`is of ${bytes} bytes instead of 32`);
    }
  });
});
