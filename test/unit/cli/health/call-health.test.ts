import { expect, it } from 'vitest';
import { checkCalls } from '../../../../src/cli/health/call-health.ts';
import { KeyfoldError } from '../../../../src/errors.ts';
import { errorOf, FakeDependencies } from '../../../support/fakes.ts';

const check = 'vault calls';
const fix = 'docs/how-to/use-vault.md';

it('checkCalls wraps and unwraps a key within ten seconds, and zeroes the opened key', async () => {
  const { clock, kms, log } = new FakeDependencies();
  const startedMs = clock.nowMs;
  const deadlines: number[] = [];
  kms.interfere = (_, { atMs }) => {
    deadlines.push(atMs);
    clock.advance(20.3);
  };
  expect(await checkCalls(check, kms, fix, clock.now)).toEqual({
    check,
    state: 'ok',
    says: 'encrypt and decrypt 41 ms',
  });
  expect(log.take()).toEqual(['Wrap', 'Unwrap']);
  expect(deadlines).toEqual([startedMs + 10_000, startedMs + 10_000]);
  const [given, opened] = kms.plaintexts;
  expect([given?.length, opened]).toEqual([32, Buffer.alloc(32)]);
});

it('checkCalls accepts a key service that returns a proof key together with the wrap', async () => {
  const { clock, kms } = new FakeDependencies();
  const withProofKey = {
    wrap: async (...given: Parameters<typeof kms.wrap>) => ({ wrapped: await kms.wrap(...given), rowProof: undefined }),
    unwrap: kms.unwrap.bind(kms),
  };
  expect(await checkCalls(check, withProofKey as never, fix, clock.now)).toMatchObject({ state: 'ok' });
});

it('checkCalls reports a wrap that does not open, and an error of the key service', async () => {
  const { clock, kms } = new FakeDependencies();
  kms.unwrap = async () => ({ unreadable: 'it is empty' });
  const state = 'fault';
  expect(await checkCalls(check, kms, fix, clock.now)).toEqual({
    check,
    state,
    says: 'the wrap does not open: it is empty',
    fix,
  });
  kms.unwrap = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'Vault is sealed.'));
  expect(await checkCalls(check, kms, fix, clock.now)).toEqual({ check, state, says: 'Vault is sealed.', fix });
  const bug = new TypeError('a bug');
  kms.unwrap = () => Promise.reject(bug);
  expect(await errorOf(checkCalls(check, kms, fix, clock.now))).toBe(bug);
});
