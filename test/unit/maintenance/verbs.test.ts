import { afterEach, describe, expect, it, vi } from 'vitest';
import { Session } from '../../../src/envelope/session.ts';
import { encodeCompactRecord, encodeDataRowRecord } from '../../../src/index.ts';
import type { Row } from '../../../src/maintenance/reencryption/rows.ts';
import { VERBS, Verbs, type Verb, type VerbOptions } from '../../../src/maintenance/reencryption/verbs.ts';
import { KeyNaming } from '../../../src/records/ids.ts';
import { errorOf, memoryService } from '../../support/fakes.ts';

const NAMES = { service: 'svc', product: 'prod' };
const keyfold = memoryService(NAMES);

afterEach(() => vi.restoreAllMocks());

/** Applies a verb to a row with one cell. The run begins later, so that `reseal` changes a record that is new. */
function apply(verb: Verb, text: string, partition?: string, changes: Partial<VerbOptions> = {}): Promise<unknown> {
  const options = { verb, form: 'compact', plaintext: 'text', paths: undefined, ...changes } as const;
  const verbs = new Verbs(options, { keyfold, naming: new KeyNaming(NAMES), now: Date.now }, Date.now() + 60_000);
  const row: Row = { id: '1', cells: new Map([['r', { kind: 'text', text }]]), partition, context: undefined };
  return verbs.apply(row);
}

/** A compact record of the partition `p`. */
async function recordOf(payload: string | Uint8Array, service = keyfold): Promise<string> {
  const record = await service.session('p').encrypt(Buffer.from(payload as string));
  return encodeCompactRecord(record, 'bytes') ?? '';
}

/**
 * Calls `work`. Returns the payloads that sessions decrypt, and then the payloads that they encrypt.
 * @param fault what `encrypt` rejects with. If undefined, `encrypt` works.
 */
async function payloadsOf(work: () => Promise<unknown>, fault?: Error): Promise<unknown[]> {
  const decrypt = vi.spyOn(Session.prototype, 'decrypt');
  const encrypt = vi.spyOn(Session.prototype, 'encrypt');
  if (fault !== undefined) encrypt.mockRejectedValue(fault);
  await work();
  const decrypted = await Promise.all(decrypt.mock.results.map(({ value }) => value as Promise<Buffer>));
  return [...decrypted, ...encrypt.mock.calls.map(([payload]) => payload)];
}

describe('a payload that a verb has processed', () => {
  it.for([
    ['seal', 'a plaintext', 1],
    ['seal', 'a record', 1],
    ['reseal', 'a record', 2],
    ['open', 'a record', 1],
  ] as const)('is zeroed (%s of %s)', async ([verb, given, times]) => {
    const text = given === 'a record' ? await recordOf('CANARY') : 'CANARY';
    const payloads = await payloadsOf(() => apply(verb, text, 'p'));
    expect(payloads).toEqual(Array.from({ length: times }, () => Buffer.alloc(6)));
  });

  it.for(['seal', 'reseal'] as const)('is zeroed if it cannot be encrypted (%s)', async (verb) => {
    const text = verb === 'seal' ? 'CANARY' : await recordOf('CANARY');
    const fault = new Error('encrypt fails');
    const payloads = await payloadsOf(async () => expect(await errorOf(apply(verb, text, 'p'))).toBe(fault), fault);
    expect(payloads.at(-1)).toEqual(Buffer.alloc(6));
  });

  it('is zeroed if it cannot be written, because it is not UTF-8', async () => {
    const text = await recordOf(Buffer.alloc(4, 0xff));
    const code = 'RecordUnreadable';
    const payloads = await payloadsOf(async () => expect(await errorOf(apply('open', text))).toMatchObject({ code }));
    expect(payloads).toEqual([Buffer.alloc(4)]);
  });
});

describe('a record', () => {
  it.for(VERBS)('of another service is refused (%s)', async (verb) => {
    const text = await recordOf('x', memoryService({ ...NAMES, service: 'other' }));
    expect(await errorOf(apply(verb, text))).toMatchObject({
      code: 'RecordUnreadable',
      cause: new Error('it is of another service'),
    });
  });

  it.for(VERBS)('of another partition than its row is refused (%s)', async (verb) => {
    expect(await errorOf(apply(verb, await recordOf('x'), 'q'))).toMatchObject({
      code: 'RecordUnreadable',
      cause: new Error("it is not of the row's partition"),
    });
  });

  it.for(VERBS)('in an unknown form in a string of a document is refused (%s)', async (verb) => {
    const text = JSON.stringify({ a: ` ${await recordOf('x')}`, b: 'y' });
    const paths = verb === 'seal' ? ['$.b'] : undefined;
    expect(await errorOf(apply(verb, text, 'p', { paths }))).toMatchObject({
      code: 'InvalidRequest',
      message: 'A string of the document holds the text of a record.',
    });
  });

  it.for(['seal', 'open'] as const)('in an unknown form is refused as a plaintext (%s)', async (verb) => {
    const record = await keyfold.session('p').encrypt(Buffer.from('x'));
    const texts = [
      ` ${encodeCompactRecord(record, 'bytes')}`,
      Buffer.from(encodeDataRowRecord(record)).toString('base64'),
    ];
    for (const text of texts) {
      expect(await errorOf(apply(verb, text, 'p'))).toMatchObject({
        code: 'InvalidRequest',
        message: 'The field holds a record in an unknown form.',
      });
    }
  });
});
