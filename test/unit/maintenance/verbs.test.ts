import { afterEach, describe, expect, it, vi } from 'vitest';
import { Session } from '../../../src/envelope/session.ts';
import { encodeCompactRecord, encodeDataRowRecord, MemoryMetastore, type SessionFactory } from '../../../src/index.ts';
import type { ReadCell, Row } from '../../../src/maintenance/reencryption/rows.ts';
import { keysOf, VERBS, Verbs, type Verb, type VerbOptions } from '../../../src/maintenance/reencryption/verbs.ts';
import { documentOf, sealedFieldsOf } from '../../../src/maintenance/reencryption/sealed-fields.ts';
import { KeyNaming } from '../../../src/records/ids.ts';
import { codeOf, DAY_MS, errorOf, HandClock, memoryService } from '../../support/fakes.ts';

const NAMES = { service: 'svc', product: 'prod' };
const keyfold = memoryService(NAMES);

afterEach(() => vi.restoreAllMocks());

/** Applies a verb to a row with this cell and these other members. */
function applyTo(verb: Verb, cell: ReadCell, members: Partial<Row> = {}, changes: Partial<VerbOptions> = {}) {
  const options = { verb, form: 'compact', plaintext: 'text', paths: undefined, ...changes } as const;
  const verbs = new Verbs(options, { keyfold, naming: new KeyNaming(NAMES), now: Date.now }, Date.now() + 60_000);
  return verbs.apply({ id: '1', cells: new Map([['r', cell]]), partition: 'p', context: undefined, ...members });
}

/** Applies a verb to a row with one cell. The run begins later, so that `reseal` changes a record that is new. */
function apply(verb: Verb, text: string, partition?: string, changes: Partial<VerbOptions> = {}): Promise<unknown> {
  return applyTo(verb, { kind: 'text', text }, { partition }, changes);
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

describe('a payload that a verb of keyfold reencrypt has processed', () => {
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

  it.for(['seal', 'reseal'] as const)('is zeroed if the encryption fails (%s)', async (verb) => {
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

  it.for(VERBS)('is refused if its row is of another partition (%s)', async (verb) => {
    expect(await errorOf(apply(verb, await recordOf('x'), 'q'))).toMatchObject({
      code: 'RecordUnreadable',
      cause: new Error("it is not of the row's partition"),
    });
  });

  it.for(VERBS)('is refused inside a string of a document if the form of the record is unknown (%s)', async (verb) => {
    const text = JSON.stringify({ a: ` ${await recordOf('x')}`, b: 'y' });
    const paths = verb === 'seal' ? ['$.b'] : undefined;
    expect(await errorOf(apply(verb, text, 'p', { paths }))).toMatchObject({
      code: 'InvalidRequest',
      message: 'A string of the document holds the text of a record.',
    });
  });

  it.for(['seal', 'open'] as const)('is refused, not taken as plaintext, if its form is unknown (%s)', async (verb) => {
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

const refused = (message: string): object => ({ code: 'InvalidRequest', message });

describe('a cell that a verb of keyfold reencrypt cannot process', () => {
  it.for(VERBS)('is refused if it cannot be read (%s)', async (verb) => {
    expect(await errorOf(applyTo(verb, { kind: 'unreadable' }))).toMatchObject(refused('The field cannot be read.'));
  });

  it.for(['rewrap', 'reseal'] as const)('is refused if it holds no record (%s)', async (verb) => {
    expect(await errorOf(apply(verb, 'x'))).toMatchObject(refused('The field holds no record.'));
  });

  it.for<[string, string, Partial<Row>, Partial<VerbOptions>]>([
    ['No partition is named.', 'x', { partition: undefined }, {}],
    ['The field holds no JSON document.', 'x', {}, { paths: ['$.a'] }],
    ['The field is not padded standard base64.', 'a', {}, { plaintext: 'base64' }],
    ['The field is not well-formed Unicode.', '\ud800', {}, {}],
    ['The document is nested too deeply.', '['.repeat(5000), {}, {}],
  ])('is refused by `seal`: %s', async ([message, text, members, options]) => {
    const error = await errorOf(applyTo('seal', { kind: 'text', text }, members, options));
    expect(error).toMatchObject(refused(message));
  });

  it('is refused by `seal` if its row has a context, but the record in the cell has none', async () => {
    const cell = { kind: 'text', text: await recordOf('x') } as const;
    expect(await errorOf(applyTo('seal', cell, { context: { id: '1' } }))).toMatchObject({
      code: 'RecordUnreadable',
      cause: new Error('it is not bound to any context'),
    });
  });

  it('is refused by `open` if its payload is not UTF-8', async () => {
    expect(await errorOf(apply('open', await recordOf(Buffer.alloc(4, 0xff))))).toMatchObject({
      code: 'RecordUnreadable',
      cause: new Error('the payload is not UTF-8'),
    });
  });
});

describe('a cell that needs no change', () => {
  it.for([
    ['open', 'a text', 'x'],
    ['open', 'a document without records', '{"a":1}'],
    ['rewrap', 'a document without records', '{"a":1}'],
    ['reseal', 'a document without records', '{"a":1}'],
  ] as const)('is not written (%s of %s)', async ([verb, , text]) => {
    expect(await apply(verb, text)).toEqual({ cells: new Map(), keys: [] });
  });

  it.for(['rewrap', 'seal'] as const)(
    'is not written, but the run counts the key of its record as used (%s)',
    async (verb) => {
      const record = await keyfold.session('p').encrypt(Buffer.from('x'));
      const cell = { kind: 'text', text: encodeCompactRecord(record, 'bytes') ?? '' } as const;
      expect(await applyTo(verb, cell)).toEqual({ cells: new Map(), keys: [record.key.parent] });
    },
  );
});

describe('a cell keeps its kind', () => {
  it.for<[string, ReadCell, Partial<VerbOptions>, ReadCell]>([
    ['text', { kind: 'text', text: 'é' }, {}, { kind: 'text', text: 'é' }],
    ['base64', { kind: 'text', text: 'AP8=' }, { plaintext: 'base64' }, { kind: 'text', text: 'AP8=' }],
    ['bytes', { kind: 'bytes', bytes: Buffer.from([0, 255]) }, {}, { kind: 'bytes', bytes: Buffer.from([0, 255]) }],
    ['JSON', { kind: 'json', text: '{"a":1}' }, {}, { kind: 'json', text: '{"a":1}' }],
    [
      'JSON, in a run that reads texts as base64',
      { kind: 'json', text: '{"a":1}' },
      { plaintext: 'base64' },
      { kind: 'json', text: '{"a":1}' },
    ],
  ])('if it is sealed and opened (%s)', async ([, cell, options, opened]) => {
    const sealed = await applyTo('seal', cell, {}, options);
    const record = sealed.cells.get('r') as ReadCell;
    expect(record.kind).toBe(cell.kind === 'json' ? 'text' : cell.kind);
    expect(sealed.keys).toEqual([{ id: '_IK_p_svc_prod', created: expect.any(Number) as number }]);
    expect(await applyTo('open', record, {}, options)).toEqual({ cells: new Map([['r', opened]]), keys: [] });
  });
});

const rowOf = (...cells: ReadCell[]): Row => ({
  id: '1',
  cells: new Map(cells.map((cell, i) => [`f${i}`, cell])),
  partition: undefined,
  context: undefined,
});

describe('the keys of a row that is quarantined', () => {
  it('are the keys of the records in its cells and documents', async () => {
    const record = await keyfold.session('p').encrypt(Buffer.from('x'));
    const text = encodeCompactRecord(record, 'bytes') ?? '';
    const { parent } = record.key;
    const document = JSON.stringify({ a: text, b: [text] });
    const row = rowOf({ kind: 'text', text }, { kind: 'text', text: document }, { kind: 'text', text: 'x' });
    expect(keysOf(row)).toEqual([parent, parent, parent]);
    expect(keysOf(rowOf({ kind: 'text', text: document }), true)).toEqual([parent, parent]);
  });

  it('are unknown if a record cannot be parsed, or if a field may hide a record', async () => {
    const hiding = { kind: 'text', text: JSON.stringify([` ${await recordOf('x')}`]) } as const;
    expect(keysOf(rowOf({ kind: 'unreadable' }))).toBeUndefined();
    expect(keysOf(rowOf({ kind: 'text', text: 'kf1.x' }))).toBeUndefined();
    expect([keysOf(rowOf(hiding)), keysOf(rowOf(hiding), true)]).toEqual([[], undefined]);
    const plain = rowOf({ kind: 'text', text: 'x' });
    expect([keysOf(plain), keysOf(plain, true)]).toEqual([[], undefined]);
  });
});

/** Two services over one table. The second one starts 100 days later, so that it seals under a new key. */
function twoServices() {
  const clock = new HandClock();
  const shared = { ...NAMES, metastore: new MemoryMetastore(), now: clock.now };
  const first = memoryService(shared);
  const later = () => {
    clock.advance(100 * DAY_MS);
    return memoryService(shared);
  };
  /** Applies a verb to the document of a row. The run began when the clock showed `sinceMs`. */
  const change = async (
    service: SessionFactory,
    verb: Verb,
    cell: ReadCell,
    context?: Record<string, string>,
    sinceMs = clock.now(),
  ) => {
    const options = { verb, form: 'compact', plaintext: 'text', paths: ['$.a', '$.b'] } as const;
    const verbs = new Verbs(options, { keyfold: service, naming: new KeyNaming(NAMES), now: clock.now }, sinceMs);
    return verbs.apply({ id: '1', cells: new Map([['r', cell]]), partition: 'p', context });
  };
  return { clock, first, later, change };
}

/** The ciphertexts of the sealed fields of a document. */
function dataOf(cell: ReadCell): Buffer[] {
  const text = cell.kind === 'bytes' ? Buffer.from(cell.bytes).toString() : (cell as { readonly text: string }).text;
  return sealedFieldsOf(documentOf(text)).map(({ record }) => Buffer.from(record.data));
}

describe('a document with sealed fields', () => {
  const TEXT = '{ "a": "x", "n": 12345678901234567890, "b": [1.50] }';

  it.for<[Verb, 'text' | 'json' | 'bytes', Record<string, string> | undefined]>([
    ['rewrap', 'text', undefined],
    ['rewrap', 'json', { id: '1' }],
    ['reseal', 'text', { id: '1' }],
    ['reseal', 'bytes', undefined],
  ])('is moved to the latest key, and keeps everything else (%s, %s, context %j)', async ([verb, kind, context]) => {
    const { first, later, change, clock } = twoServices();
    const toCell = (text: string): ReadCell => (kind === 'bytes' ? { kind, bytes: Buffer.from(text) } : { kind, text });
    const sealed = await change(first, 'seal', toCell(TEXT), context);
    const [old] = sealed.keys;
    expect(sealed.keys).toEqual([old, old]);
    const service = later();
    const before = sealed.cells.get('r') as ReadCell;
    const moved = await change(service, verb, before, context);
    const after = moved.cells.get('r') as ReadCell;
    expect(after.kind).toBe(kind);
    const [fresh] = moved.keys;
    expect(fresh?.created).toBeGreaterThan(old?.created ?? Infinity);
    expect(moved.keys).toEqual([fresh, fresh]);
    // Only `reseal` encrypts the values again.
    const isSame = dataOf(after).map((data, i) => data.equals(dataOf(before)[i] ?? Buffer.alloc(0)));
    expect(isSame).toEqual(verb === 'rewrap' ? [true, true] : [false, false]);
    // A field is moved to the latest key even if the run began before the field was sealed.
    expect((await change(service, verb, before, context, 0)).keys).toEqual([fresh, fresh]);
    expect(await change(service, 'open', after, context)).toEqual({ cells: new Map([['r', toCell(TEXT)]]), keys: [] });
    // The document is not changed again, whether the verb or `seal` reads it.
    clock.advance(1000);
    for (const again of [verb, 'seal'] as const)
      expect(await change(service, again, after, context, 0)).toEqual({ cells: new Map(), keys: [fresh, fresh] });
  });

  it('opens only with the context under which it was sealed', async () => {
    const { first, change } = twoServices();
    const { cells } = await change(first, 'seal', { kind: 'text', text: TEXT }, { id: '1' });
    const sealed = cells.get('r') as ReadCell;
    expect(await codeOf(change(first, 'open', sealed, { id: '2' }))).toBe('RecordUnreadable');
    expect(await codeOf(change(first, 'open', sealed))).toBe('ContextRequired');
  });
});

describe('a whole cell that is sealed with a context', () => {
  it.for(['text', 'json'] as const)('opens with this context only (%s)', async (kind) => {
    const context = { id: '1' };
    const sealed = await applyTo('seal', { kind, text: '{"a":1}' }, { context });
    const cell = sealed.cells.get('r') as ReadCell;
    const opened = { cells: new Map([['r', { kind, text: '{"a":1}' }]]), keys: [] };
    expect(await applyTo('open', cell, { context })).toEqual(opened);
    // The record is not sealed a second time.
    expect(await applyTo('seal', cell, { context })).toEqual({ cells: new Map(), keys: sealed.keys });
    const resealed = (await applyTo('reseal', cell, { context })).cells.get('r') as ReadCell;
    expect(resealed).not.toEqual(cell);
    expect(await applyTo('open', resealed, { context })).toEqual(opened);
    expect(await codeOf(applyTo('open', resealed))).toBe('ContextRequired');
    expect(await codeOf(applyTo('open', cell, { context: { id: '2' } }))).toBe('RecordUnreadable');
    expect(await codeOf(applyTo('open', cell))).toBe('ContextRequired');
  });
});
