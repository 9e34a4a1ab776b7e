import { afterEach, describe, expect, it, vi } from 'vitest';
import { STATIC_KMS_OVERRIDE, StaticKms } from '../../../src/index.ts';
import { kmsContract } from '../../../src/testing/index.ts';
import { runContract } from '../../support/contract/bind.ts';

const masterKey = Buffer.alloc(32, 7);
const lambda = { AWS_LAMBDA_FUNCTION_NAME: 'api' };

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('StaticKms', () => {
  it("wraps and unwraps a key, and does not change the caller's bytes", async () => {
    const kms = new StaticKms(masterKey, {});
    const key = Buffer.alloc(32, 5);
    const wrapped = await kms.wrap(key);
    expect(wrapped).toHaveLength(60);
    expect(key).toEqual(Buffer.alloc(32, 5));
    expect(await new StaticKms(masterKey, {}).unwrap(wrapped)).toEqual({ key });
  });

  it('reports a wrap by another master key as unreadable', async () => {
    const wrapped = await new StaticKms(Buffer.alloc(32, 1), {}).wrap(Buffer.alloc(32));
    expect(await new StaticKms(masterKey, {}).unwrap(wrapped)).toEqual({
      unreadable: 'it does not open under the static master key',
    });
  });

  it.for(['wrap', 'unwrap'] as const)(
    '%s rejects an argument that is not bytes, with a TypeError that names the argument',
    async (method) => {
      const kms = new StaticKms(masterKey, {});
      const named = method === 'wrap' ? /^key must be / : /^wrapped must be /;
      for (const wrong of ['x'.repeat(60), undefined, [1], new Uint16Array(60)]) {
        await expect(kms[method](wrong as never)).rejects.toThrow(TypeError);
        await expect(kms[method](wrong as never)).rejects.toThrow(named);
      }
    },
  );

  it('does not start in Lambda without the override, which the error names', () => {
    const message = [
      'Keyfold cannot start:\n- a static master key protects nothing in Lambda, because it is in the configuration of the',
      'function: use KMS, or set the override to "anyone-who-reads-this-configuration-can-read-all-data"',
    ].join(' ');
    for (const override of [undefined, 'yes']) {
      const error = expect.objectContaining({ code: 'InvalidConfiguration', message });
      expect(() => new StaticKms(masterKey, lambda, override)).toThrow(error);
    }
    expect(new StaticKms(masterKey, lambda, STATIC_KMS_OVERRIDE)).toBeInstanceOf(StaticKms);
  });

  it('uses the environment of the process by default, and therefore does not start in Lambda', async () => {
    const kms = new StaticKms(masterKey);
    expect(await kms.unwrap(await kms.wrap(Buffer.alloc(32, 5)))).toEqual({ key: Buffer.alloc(32, 5) });
    vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', 'api');
    expect(() => new StaticKms(masterKey)).toThrow('protects nothing in Lambda');
    expect(() => new StaticKms(masterKey, undefined, 'yes')).toThrow(STATIC_KMS_OVERRIDE);
    expect(new StaticKms(masterKey, undefined, STATIC_KMS_OVERRIDE)).toBeInstanceOf(StaticKms);
  });

  it('throws a TypeError that names the environment if the environment is null', () => {
    expect(() => new StaticKms(masterKey, null as never)).toThrow('environment must be an object, not null.');
  });

  it('refuses a master key that is not 32 bytes long', () => {
    for (const bytes of [0, 16, 31, 33]) {
      expect(() => new StaticKms(Buffer.alloc(bytes), {})).toThrow(`has ${bytes} bytes and must have 32`);
    }
  });
});

runContract(
  'StaticKms as a KMS',
  kmsContract(() => new StaticKms(masterKey, {})),
);
