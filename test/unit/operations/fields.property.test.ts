import fc from 'fast-check';
import { query as peer } from 'json-p3';
import { describe, expect, it } from 'vitest';
import { decodeCompactRecord, encodeCompactRecord } from '../../../src/records/compact-record.ts';
import { decodeDataRowRecord, encodeDataRowRecord, KeyfoldError, type DataRowRecord } from '../../../src/index.ts';
import { selectValues } from '../../../src/operations/field-paths.ts';
import { locateValues, type JsonValue } from '../../../src/operations/json-text.ts';
import { memoryService } from '../../support/fakes.ts';
import { operate } from '../../support/operations.ts';

const NAMES = [
  'a',
  'b',
  '__proto__',
  'constructor',
  'toString',
  '',
  ' ',
  '10',
  'é',
  'a"',
  "'",
  '\u0000a',
  '\u{1f511}',
  'kf1j.',
];
/**
 * Member names without backslashes. Once `JSON.parse` of Node 24.21 has read a name with a backslash, it may mistake
 * other escaped names for that name. The tests compare with `JSON.parse`, so they avoid such names.
 */
const name = fc.oneof(
  fc.constantFrom(...NAMES),
  fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\\')),
);

/** Numbers in various JSON spellings. */
const numberText = fc.oneof(
  fc.constantFrom(
    '-0',
    '1.0',
    '1e400',
    '-1E-400',
    '12345678901234567890',
    '0.10',
    '1e+2',
    '0e0',
    '123456789012345678901234567890.5',
  ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((n) => JSON.stringify(n)),
);
const space = fc.constantFrom('', '', '', ' ', '\n', '\t \r\n');
const nameText = fc.tuple(name, fc.boolean()).map(([text, escaped]) => stringText(text, escaped));
const scalarText = fc.oneof(
  numberText,
  fc.constantFrom('true', 'false', 'null', '"kf1."', '"kf1j.AAAA"', '"\\u006bf1.x"', '"\\ud800"'),
  nameText,
);

/** JSON texts with arbitrary white space and escapes. No object has two members of the same name. */
const { json: jsonText } = fc.letrec<{ json: string; list: string; object: string }>((tie) => ({
  json: fc.oneof({ depthSize: 'medium', withCrossShrink: true }, scalarText, tie('list'), tie('object')),
  list: fc
    .tuple(fc.array(tie('json'), { maxLength: 5 }), space)
    .map(([items, s]) => `[${s}${items.join(`${s},`)}${s}]`),
  object: fc
    .tuple(
      fc.uniqueArray(fc.tuple(nameText, tie('json')), { maxLength: 5, selector: ([n]) => JSON.parse(n) as string }),
      space,
    )
    .map(([members, s]) => `{${s}${members.map(([n, value]) => `${n}${s}:${value}`).join(`,${s}`)}}`),
}));

const selector = fc.oneof(
  name.filter((n) => n.isWellFormed() && !n.includes('\u0000')).map((n) => JSON.stringify(n)),
  fc.integer({ min: -4, max: 4 }).map(String),
  fc.constant('*'),
  fc
    .tuple(...([0, 1, 2] as const).map(() => fc.option(fc.integer({ min: -4, max: 4 }))))
    .map(([start, end, step]) => `${start ?? ''}:${end ?? ''}:${step ?? ''}`),
);
const path = fc
  .array(fc.tuple(fc.constantFrom('', '', '..'), fc.array(selector, { minLength: 1, maxLength: 2 })), { maxLength: 3 })
  .map((segments) => `$${segments.map(([dots, selectors]) => `${dots}[${selectors.join()}]`).join('')}`);

/** Writes a JSON string. If `escaped`, every UTF-16 code unit becomes a `\u` escape. */
function stringText(text: string, escaped: boolean): string {
  if (!escaped || text.length === 1) return JSON.stringify(text);
  return `"${[...Array(text.length).keys()].map((i) => `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`).join('')}"`;
}

/** Lists all values of a tree, each with its normalized path (RFC 9535, section 2.7) as a JSON array of steps. */
function placesOf(value: JsonValue, steps: readonly (string | number)[] = []): [string, JsonValue][] {
  const children = [...(value.members ?? []), ...(value.items ?? []).entries()];
  return [[JSON.stringify(steps), value], ...children.flatMap(([step, child]) => placesOf(child, [...steps, step]))];
}

/** Returns the result of `work`. Returns undefined if `work` throws `InvalidRequest` or rejects with it. */
function unlessRefused<T>(work: () => T): T | undefined {
  try {
    const done = work();
    return done instanceof Promise ? (done.catch(refused) as T) : done;
  } catch (error) {
    return refused(error);
  }
}

function refused(error: unknown): undefined {
  if (error instanceof KeyfoldError && error.code === 'InvalidRequest') return undefined;
  throw error;
}

/** Whether one of the paths leads into the value at another path. */
function isNested(places: readonly (readonly (string | number)[])[]): boolean {
  return places.some((a) => places.some((b) => a.length < b.length && a.every((step, i) => step === b[i])));
}

describe('field operations on generated documents', () => {
  it('select the same values as another implementation of JSONPath', () => {
    fc.assert(
      fc.property(jsonText, path, (text, query) => {
        const root = locateValues(text);
        const places = new Map(placesOf(root).map(([steps, value]) => [value, steps]));
        const expected = peer(query, JSON.parse(text)).nodes.map(({ location }) => location);
        const selected = unlessRefused(() => selectValues(root, [query], { allowMissing: true }));
        const steps = new Set(selected?.map((value) => places.get(value)));
        expect(selected && steps).toEqual(
          isNested(expected) ? undefined : new Set(expected.map((location) => JSON.stringify(location))),
        );
      }),
      { numRuns: 2000 },
    );
  });

  it('find the text of each value that JSON.parse reads', () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        for (const [steps, { start, end }] of placesOf(locateValues(text))) {
          let value: unknown = JSON.parse(text);
          for (const step of JSON.parse(steps) as string[]) value = Object.getOwnPropertyDescriptor(value, step)?.value;
          expect(JSON.parse(text.slice(start, end))).toEqual(value);
        }
      }),
    );
  });

  it('restore encrypted values exactly, and leave the rest of the document unchanged', async () => {
    const { ask } = operate(memoryService());
    await fc.assert(
      fc.asyncProperty(jsonText, fc.array(path, { minLength: 1, maxLength: 3 }), async (text, fields) => {
        const asked = `{"document":${text},"allowMissing":true,"fields":${JSON.stringify(fields)}}`;
        const sealed = await unlessRefused(() => ask('encrypt-fields', asked));
        fc.pre(sealed !== undefined);
        const body = `${sealed.slice(0, -1)},"allowMissing":true,"fields":${JSON.stringify(fields)}}`;
        expect(await ask('decrypt-fields', body)).toBe(`{"document":${text}}`);
      }),
      { numRuns: 300 },
    );
  });
});

const bytes = (size: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: size, maxLength: size }).map((array) => Buffer.from(array));
const time = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const record: fc.Arbitrary<DataRowRecord> = fc
  .record({
    created: time,
    encryptedKey: bytes(60),
    parent: fc.record({ id: fc.string({ unit: 'grapheme', minLength: 1 }), created: time }),
    data: fc.uint8Array({ minLength: 28, maxLength: 100 }).map((array) => Buffer.from(array)),
  })
  .filter(({ parent }) => parent.id.isWellFormed())
  .map(({ data, ...key }) => ({ key, data }));

describe('the compact form of a generated record', () => {
  it('decodes to the same record as its JSON form', () => {
    fc.assert(
      fc.property(record, fc.constantFrom('bytes', 'json'), (one, kind) => {
        const decoded = decodeCompactRecord(encodeCompactRecord(one, kind) ?? '');
        expect(decoded).toEqual({ kind, record: one });
        expect(decodeDataRowRecord(encodeDataRowRecord(decoded.record))).toEqual(one);
      }),
    );
  });

  it('is unique, so encoding a decoded record returns the same string', () => {
    fc.assert(
      fc.property(record, fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (one, at, character) => {
        const text = encodeCompactRecord(one, 'bytes') ?? '';
        const place = at % text.length;
        const changed = text.slice(0, place) + character + text.slice(place + 1);
        const read = unlessRefused(() => decodeCompactRecord(changed));
        expect(read === undefined || encodeCompactRecord(read.record, read.kind) === changed).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
