import { createHmac, createSecretKey } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bindingOf,
  isBoundTo,
  recordProof,
  recordProofText,
  type RecordContext,
  type RecordPlace,
} from '../../../src/records/record-proof.ts';

const DATA_ROW_KEY = createSecretKey(Buffer.from(Array.from({ length: 32 }, (_, i) => i)));
const TAIL = Buffer.from(Array.from({ length: 28 }, (_, i) => 0x80 + i));

function proofOf(context: RecordContext, place?: RecordPlace, sealed: Uint8Array = TAIL): string {
  return recordProof(DATA_ROW_KEY, bindingOf(context, place), sealed).toString('hex');
}

/** Well-formed text of a few bytes, in which characters often repeat. */
const text = (min: number): fc.Arbitrary<string> =>
  fc.string({
    unit: fc.constantFrom('a', '\x7f', '\0', '\x80', 'é', '€', '𝄞', '\uffff'),
    minLength: min,
    maxLength: 8,
  });
const contexts = fc
  .uniqueArray(fc.tuple(text(1), text(0)), { minLength: 1, maxLength: 16, selector: ([name]) => name })
  .map((entries) => entries);

const u32 = (value: number): Buffer => Buffer.from(value.toString(16).padStart(8, '0'), 'hex');

/** The block of a proof, encoded step by step as docs/reference/formats.md says. */
function plainBlock(entries: readonly (readonly [string, string])[], path: string): Buffer {
  const lp = (value: string | Buffer): Buffer => Buffer.concat([u32(Buffer.byteLength(value)), Buffer.from(value)]);
  const sorted = entries.toSorted(([a], [b]) => Buffer.from(a).compare(Buffer.from(b)));
  const parts = [lp('keyfold/record-proof/1'), lp('json'), lp(path), u32(entries.length)];
  return Buffer.concat([...parts, ...sorted.flat().map(lp), lp(TAIL), Buffer.of(1)]);
}

describe('recordProof', () => {
  it('computes the example proof in docs/reference/formats.md', () => {
    const place = { form: 'json', path: "$['items'][*]['ssn']" } as const;
    expect(proofOf({ table: 'users', id: '42' }, place)).toBe(
      '5e5b114310507263eaf49e99b7a1f5b0ded6515cbf0a6673290251db4862c911',
    );
  });

  it('does not depend on the order of the entries, even if their names contain unusual characters', () => {
    fc.assert(
      fc.property(contexts, fc.integer(), (entries, seed) => {
        const shuffled = entries.toSorted(([a], [b]) => ((a.length * 31 + seed) % 7) - ((b.length * 31 + seed) % 7));
        expect(proofOf(Object.fromEntries(shuffled))).toBe(proofOf(Object.fromEntries(entries)));
        expect(proofOf(Object.fromEntries(entries.toReversed()))).toBe(proofOf(Object.fromEntries(entries)));
      }),
    );
  });

  it('encodes a character from U+0080 on in several bytes', () => {
    expect(bindingOf({ '\x7f': '\x80' }).toString('latin1')).toContain('\x7f\0\0\0\x02\xc2\x80');
  });

  it('sorts names by their UTF-8 bytes, not by their UTF-16 code units', () => {
    const entries = bindingOf({ '\u{10000}': 'later', '\uffff': 'earlier' });
    expect(entries.indexOf('earlier')).toBeLessThan(entries.indexOf('later'));
  });

  it('differs for contexts, paths and forms whose concatenations are equal', () => {
    const alike: [RecordContext, RecordPlace?][] = [
      [{ ab: 'c' }],
      [{ a: 'bc' }],
      [{ abc: '' }],
      [{ a: 'b', c: '' }],
      [{ a: '', b: 'c' }],
      [{ a: '', bc: '' }],
      [{ ab: 'c' }, { form: 'json' }],
      [{ ab: 'c' }, { path: "$['ab']" }],
      [{ ab: 'c' }, { form: 'json', path: "$['ab']" }],
      [{ ab: 'c\0' }],
      [{ 'ab\0': 'c' }],
      [{ é: '' }],
      [{ 'e\u0301': '' }],
    ];
    expect(new Set(alike.map((args) => proofOf(...args))).size).toBe(alike.length);
  });

  it('differs for any two contexts that differ', () => {
    fc.assert(
      fc.property(contexts, contexts, (a, b) => {
        const [first, second] = [a, b].map((entries) => new Map(entries.toSorted(([x], [y]) => (x < y ? -1 : 1))));
        fc.pre(JSON.stringify([...(first ?? [])]) !== JSON.stringify([...(second ?? [])]));
        expect(proofOf(Object.fromEntries(a))).not.toBe(proofOf(Object.fromEntries(b)));
      }),
    );
  });

  it('computes the same bytes as a plain encoding of the format, for text of any length', () => {
    const ascii = fc.string({ unit: 'grapheme-ascii', maxLength: 130 });
    const any = fc.oneof(text(0), ascii, fc.string({ unit: 'grapheme', maxLength: 40 }));
    const names = any.filter((name) => name !== '' && Buffer.byteLength(name) <= 128);
    const entries = fc.uniqueArray(fc.tuple(names, any), { minLength: 1, maxLength: 16, selector: ([name]) => name });
    fc.assert(
      fc.property(entries, any, (given, path) => {
        const expected = createHmac('sha256', DATA_ROW_KEY).update(plainBlock(given, path)).digest();
        const binding = bindingOf(Object.fromEntries(given), { form: 'json', path });
        expect(recordProof(DATA_ROW_KEY, binding, TAIL)).toEqual(expected);
        expect(recordProofText(DATA_ROW_KEY, binding, TAIL, 'base64')).toBe(expected.toString('base64'));
      }),
    );
  });

  it.for([0, 5, 16, 27])('depends on byte %i of the last 28 bytes of the sealed payload', (at) => {
    const other = Buffer.from(TAIL);
    other[at] = (other[at] ?? 0) ^ 1;
    expect(proofOf({ id: '1' }, {}, other)).not.toBe(proofOf({ id: '1' }));
  });

  it('ignores all bytes of the sealed payload before the last 28 bytes', () => {
    expect(proofOf({ id: '1' }, {}, Buffer.concat([Buffer.alloc(99, 1), TAIL]))).toBe(proofOf({ id: '1' }));
  });

  it('depends on a context value with the name __proto__', () => {
    const context = JSON.parse('{"__proto__":"1"}') as RecordContext;
    expect(proofOf(context)).not.toBe(proofOf({ proto: '1' }));
    expect(proofOf(context)).not.toBe(proofOf(JSON.parse('{"__proto__":"2"}') as RecordContext));
  });
});

const many = (count: number): RecordContext => Object.fromEntries(Array.from({ length: count }, (_, i) => [i, '']));

describe('bindingOf', () => {
  it.for([
    ['no entries', {}, 'context must have 1 to 16 entries.'],
    ['17 entries', many(17), 'context must have 1 to 16 entries.'],
    ['an empty name', { '': 'x' }, 'context must have names of 1 to 128 bytes of UTF-8.'],
    ['a name of 129 bytes', { ['é'.repeat(64) + 'x']: '' }, 'context must have names of 1 to 128 bytes of UTF-8.'],
    ['a value of 1,025 bytes', { id: 'x'.repeat(1025) }, 'context must have values of 0 to 1024 bytes of UTF-8.'],
    ['half a surrogate pair in a name', { '\ud800': '' }, 'context must have names of well-formed Unicode.'],
    ['half a surrogate pair in a value', { id: '\udfff' }, 'context must have values of well-formed Unicode.'],
  ] as const)('refuses a context with %s', ([, context, message]) => {
    expect(() => bindingOf(context)).toThrow(expect.objectContaining({ code: 'InvalidRequest', message }));
  });

  it('accepts a context of the maximum size', () => {
    const names = Array.from({ length: 16 }, (_, i) => String.fromCharCode(97 + i).padEnd(128, 'x'));
    expect(bindingOf(Object.fromEntries(names.map((name) => [name, 'v'.repeat(1024)])))).toBeInstanceOf(Buffer);
  });

  it.for([
    ['undefined', undefined],
    ['null', null],
    ['a string', 'id=1'],
    ['an array', ['id']],
    ['a Map', new Map([['id', '1']])],
    ['a number', 7],
  ] as const)('refuses %s as the context', ([, context]) => {
    expect(() => bindingOf(context as never)).toThrow(
      new TypeError(`context must be an object, not ${kind(context)}.`),
    );
  });

  it('reads each own enumerable member with a string name exactly once, as JSON.stringify does', () => {
    let reads = 0;
    const inherited = { table: 'orders' };
    const context = Object.create(inherited, {
      id: { enumerable: true, get: () => `read ${(reads += 1)}` },
      hidden: { enumerable: false, value: 'x' },
      [Symbol('name')]: { enumerable: true, value: 'x' },
    }) as RecordContext;
    expect(bindingOf(context)).toHaveLength(bindingOf({ id: 'read 1' }).length);
    expect(bindingOf(context).toString('latin1')).toContain('id\0\0\0\x06read 2');
    expect(reads).toBe(2);
  });

  it.for([
    ['a number', 42],
    ['a symbol', Symbol('42')],
    ['a String object', new String('42')],
    ['undefined', undefined],
  ] as const)('refuses %s as a value of a context', ([, id]) => {
    expect(() => bindingOf({ id } as never)).toThrow(new TypeError('context must have strings as its values.'));
  });

  it('refuses a path that is not well-formed Unicode', () => {
    expect(() => bindingOf({ id: '1' }, { path: "$['\ud800']" })).toThrow(
      'The path of a bound field must be well-formed Unicode.',
    );
  });

  it.for([
    ['has an unknown form', { form: 'text' }],
    ['has a number as its path', { path: 7 }],
    ['has an unknown member', { paths: '' }],
    ['is a string', 'json'],
  ] as const)('refuses a place (form and path) that %s', ([, place]) => {
    expect(() => bindingOf({ id: '1' }, place as never)).toThrow(TypeError);
  });
});

function kind(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  return typeof value === 'object' ? 'another object' : `a ${typeof value}`;
}

it('isBoundTo accepts the proof of an empty payload, and refuses the proof if the sealed payload is shorter', () => {
  const binding = bindingOf({ id: '1' });
  const proof = recordProof(DATA_ROW_KEY, binding, TAIL);
  const answers = [TAIL, TAIL.subarray(1), Buffer.alloc(0)].map((data) =>
    isBoundTo(DATA_ROW_KEY, binding, { data, proof }),
  );
  expect(answers).toEqual([true, false, false]);
  expect(isBoundTo(DATA_ROW_KEY, binding, { data: TAIL })).toBe(false);
});
