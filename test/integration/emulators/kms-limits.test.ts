/** Tests both sides of each limit of the KMS emulator. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseFault } from '../../../emulators/kms/faults.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';

let kms: KmsEmulator;
let keyArn: string;
beforeAll(async () => {
  kms = await startKmsEmulator();
  ({ keyArn } = await kms.ensureKey('us-west-2', 'alias/limits'));
});
afterAll(() => kms.close());

/** Calls KMS. Returns the name of the error, or `ok`. */
async function outcomeOf(action: string, body: string): Promise<string> {
  const authorization = 'AWS4-HMAC-SHA256 Credential=local/20260101/us-west-2/kms/aws4_request';
  const headers = { 'x-amz-target': `TrentService.${action}`, authorization };
  const answer = await fetch(kms.endpoint, { method: 'POST', headers, body });
  const { __type = 'ok' } = (await answer.json()) as { __type?: string };
  return __type;
}

const bytes = (count: number): string => Buffer.alloc(count).toString('base64');
const text = (count: number): string => 'x'.repeat(count);
/** An encryption context whose JSON has `count` bytes. */
const context = (count: number): object => ({ a: text(count - JSON.stringify({ a: '' }).length) });
const number = (count: number): number => count;

describe('the KMS emulator', () => {
  it.for([
    ['Encrypt', 'Plaintext', bytes, { KeyId: 'alias/limits' }, 1, 4096, 'ok'],
    ['Decrypt', 'CiphertextBlob', bytes, {}, 1, 6144, 'InvalidCiphertextException'],
    ['GenerateDataKey', 'NumberOfBytes', number, { KeyId: 'alias/limits' }, 1, 1024, 'ok'],
    ['DescribeKey', 'KeyId', text, {}, 1, 2048, 'NotFoundException'],
    ['ListAliases', 'Limit', number, {}, 1, 100, 'ok'],
    ['CreateKey', 'Description', text, {}, undefined, 8192, 'ok'],
    ['Encrypt', 'EncryptionContext', context, { KeyId: 'alias/limits', Plaintext: 'eA==' }, undefined, 8192, 'ok'],
  ] as const)(
    'accepts %s only if the member %s is within its limits',
    async ([action, member, make, others, min, max, within]) => {
      const outcome = (size: number): Promise<string> =>
        outcomeOf(action, JSON.stringify({ ...others, [member]: make(size) }));
      expect(await outcome(max)).toBe(within);
      expect(await outcome(max + 1)).toBe('ValidationException');
      if (min === undefined) return;
      expect(await outcome(min)).toBe(within);
      expect(await outcome(min - 1)).toBe('ValidationException');
    },
  );

  it('schedules the deletion of a key only 7 to 30 days ahead', async () => {
    for (const days of [6, 7, 30, 31]) {
      const KeyId = (await kms.ensureKey('us-west-2', `alias/window-${days}`)).keyArn;
      const outcome = await outcomeOf('ScheduleKeyDeletion', JSON.stringify({ KeyId, PendingWindowInDays: days }));
      expect([days, outcome]).toEqual([days, days === 7 || days === 30 ? 'ok' : 'ValidationException']);
    }
  });

  it('accepts only a whole number for NumberOfBytes', async () => {
    for (const NumberOfBytes of [1.5, '32', true, [32]])
      expect(await outcomeOf('GenerateDataKey', JSON.stringify({ KeyId: keyArn, NumberOfBytes }))).toBe(
        'SerializationException',
      );
  });

  it('accepts a request of 64 KiB, but refuses a longer request', async () => {
    expect(await outcomeOf('ListAliases', '{}'.padEnd(65_536))).toBe('ok');
    expect(await outcomeOf('ListAliases', '{}'.padEnd(65_537))).toBe('RequestEntityTooLargeException');
  });

  it('accepts a body of 16 KiB for a fault, but refuses a longer body', async () => {
    const statuses: number[] = [];
    for (const length of [16_384, 16_385]) {
      const body = '{"kind":"down"}'.padEnd(length);
      statuses.push((await fetch(`${kms.endpoint}/regions/us-west-2/fault`, { method: 'PUT', body })).status);
    }
    kms.clearFaults();
    expect(statuses).toEqual([200, 413]);
  });

  const error = { kind: 'error', name: 'X' };
  it.for([
    ['ms', { kind: 'latency' }, [0, 600_000], [-1, 600_001, 0.5, '5', null]],
    ['perSecond', { kind: 'throttle' }, [0, 0.5, 1e6], [-0.5, Infinity, '5', null]],
    ['status', error, [400, 599], [399, 600, 400.5, '400', null]],
    ['rate', error, [0, 0.5, 1], [-0.1, 1.1, '1', null]],
    ['name', error, ['a', 'A_9', text(100)], ['', text(101), 'a b', 'a-b', 'a.b', 'a:b', 'é', ' a', 'a\n', 5]],
    ['actions', error, [['Encrypt'], ['Encrypt', 'Decrypt']], [[], ['encrypt'], ['ListKeys'], 'Encrypt', null]],
  ] as const)('accepts a fault only if its member "%s" has a valid value', ([member, fault, valid, invalid]) => {
    for (const value of valid) expect(parseFault({ ...fault, [member]: value })).toMatchObject({ [member]: value });
    for (const value of invalid) expect(() => parseFault({ ...fault, [member]: value })).toThrow(member);
  });
});
