/**
 * Compares every fast path with the plain code, for arbitrary strings and for strings close to the form that the fast
 * path reads. A fast path must return the same result as the plain code, or decline by returning undefined.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase64 } from '../../../src/crypto/base64.ts';
import { requestOf } from '../../../src/doors/json-request.ts';
import { decrypt } from '../../../src/operations/decrypt.ts';
import { encrypt } from '../../../src/operations/encrypt.ts';
import { locateValues } from '../../../src/operations/json-text.ts';
import { rewrap } from '../../../src/operations/rewrap.ts';
import { dataRowRecordFromValue, decodeDataRowRecord, encodeDataRowRecord, KeyfoldError } from '../../../src/index.ts';
import {
  cutPayload,
  hasLargeNumber,
  hasRepeatedNames,
  readPlaintextBody,
  readRecordBody,
  readUnescaped,
} from '../../../src/records/fast-paths.ts';

const RUNS = 3000;
/**
 * A fast path must read at least this many strings, and decline at least this many. Otherwise the comparison would
 * prove little.
 */
const ENOUGH = RUNS / 100;

const base64 = fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString('base64'));

const record = fc
  .record({
    created: fc.nat(),
    key: fc.uint8Array(),
    id: fc.string({ unit: 'binary' }),
    proof: fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }), { nil: undefined }),
    data: fc.uint8Array(),
  })
  .map(({ created, key, id, proof, data }) =>
    encodeDataRowRecord({ key: { created, encryptedKey: key, parent: { id, created } }, proof, data }),
  );

/** A context as the next member of a body: mostly one that the fast paths read. */
const contextMember = fc
  .oneof(
    fc.dictionary(fc.string({ unit: fc.constantFrom('a', 'b', ':', '"', '\\', '}') }), fc.string(), { maxKeys: 3 }),
    fc.constantFrom({ a: '},"context":{' }, { a: '"},"context":{"b":"' }, { a: 'x'.repeat(600) }, ['a'], null, {
      a: 1,
    }),
  )
  .map((context) => `,"context":${JSON.stringify(context)}`);
const maybeContext = fc.option(contextMember, { nil: '' });

/** Generates strings, most of which the fast paths can read. */
const usual = fc.oneof(
  record,
  fc.tuple(record, maybeContext).map(([text, context]) => `{"record":${text}${context}}`),
  fc.tuple(base64, maybeContext).map(([text, context]) => `{"plaintext":"${text}"${context}}`),
);

/** Pieces of JSON, of requests, and of text that JSON does not allow. */
const PIECES = [
  ['{', '}', '[', ']', '"', ',', ':', ' ', '\n', '\t', '\0', '\ufeff', '\ud800', '\u2028'],
  ['\\', '\\/', '\\u0041', '\\"', '"}', '"}}', 'AAAA', 'AA==', 'AB==', '=', '-', '_', '0', '00', '-0', '1e3', 'null'],
  ['{"plaintext":"', '"plaintext":', '"format":"compact"', '{"record":', '"record":', '"document":1', '"__proto__":{}'],
  ['"Key":', '"Data":', ',"Data":"', ',"Data":"AAAA"', ',"Data":1', ',"More":"x"', '"a":1', '"a:b":":"', '"\\u0061":1'],
  ['{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}}'],
  ['"Proof":"', ',"Proof":"AAAA"', '"context":', ',"context":{"a":"b"}', '{"a":"b"}', '{"a":1}', '"path":"$"'],
];
const piece = fc.constantFrom(...PIECES.flat());

/** Pieces in any order, which sometimes are valid JSON. */
const crooked = fc.array(piece, { maxLength: 8 }).map((parts) => parts.join(''));

/** A usual string, part of which is replaced. */
const damaged = fc
  .tuple(usual, fc.nat(), fc.nat(4), fc.oneof(crooked, fc.string()))
  .map(([text, place, length, more]) => {
    const at = place % (text.length + 1);
    return text.slice(0, at) + more + text.slice(at + length);
  });

/** A usual string with more members, other white space or another order. */
const varied = fc
  .tuple(usual, fc.jsonValue(), fc.constantFrom('a', '\\', 'Data', 'record', '__proto__'), fc.nat(2))
  .map(([text, more, name, indent]) => {
    const value = JSON.parse(text) as object;
    return JSON.stringify(indent === 0 ? { [name]: more, ...value } : { ...value, [name]: more }, null, indent);
  });

const anyText = fc.oneof(usual, crooked, damaged, varied, fc.json(), fc.string(), fc.string({ unit: 'binary' }));

/** The result, or the message of the error that a caller of the service would see. */
function outcome(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError) return 'not JSON';
    if (error instanceof KeyfoldError && error.code === 'InvalidRequest') return error.message;
    throw error;
  }
}

/**
 * Compares a fast path with the plain code on many strings.
 * @returns the number of strings that the fast path read, or the number that it declined, whichever is smaller
 */
function compare(
  texts: fc.Arbitrary<string>,
  fast: (text: string) => unknown,
  plain: (text: string) => unknown,
  examples: readonly string[] = [],
): number {
  const seen = { read: 0, declined: 0 };
  const property = fc.property(texts, (text) => {
    const result = fast(text);
    seen[result === undefined ? 'declined' : 'read'] += 1;
    expect(result).toEqual(result === undefined ? undefined : outcome(() => plain(text)));
  });
  fc.assert(property, { numRuns: RUNS, examples: examples.map((text): [string] => [text]) });
  return Math.min(seen.read, seen.declined);
}

/** Strings that an earlier version of a fast path misread, or that are similar to such strings. */
const EXAMPLES = [
  '{"plaintext":"AAAA","context":{"a":"b"}}',
  '{"plaintext":"AAAA","context":{"a":"b","a":"c"}}',
  '{"plaintext":"AAAA","context":{"a":"b"},"context":{"a":"b"}}',
  '{"plaintext":"AAAA","context":{"a":"b","context":{"a":"b"}}}',
  '{"plaintext":"AAAA","context":{"a":"b"},"format":"compact"}',
  '{"plaintext":"AAAA","context":{"a":{"b":"c"}}}',
  '{"plaintext":"AAAA","context":{"a":"b"}}}',
  '{"plaintext":"AAAA","context":{"a":"b"} ',
  '{"plaintext":"AAAA","context":{"__proto__":"b"}}',
  '{"plaintext":"AAAA","context":{"\\u0061":"b"}}',
  '{"record":{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":""},"context":{"a":"b"}}',
  '{"record":{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":"","context":{"a":"b"}}}',
  '{"record":{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Proof":"","Data":""}}',
  '{"record":{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Proof":null,"Data":""}}',
  // Both of these proofs have as many characters as a proof of 32 bytes.
  ...['A'.repeat(44), `${'A'.repeat(42)}==`].map(
    (proof) =>
      `{"record":{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Proof":"${proof}","Data":""}}`,
  ),
  '{,"Data":""}',
  '{"plaintext":"}',
  '{"plaintext":"\n"}',
  '{"plaintext":"AAAA"}"}',
  '{"plaintext":"","plaintext":""}',
  '{"record":{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":"}}',
  '{"record":{"Key":{"Created":01,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":""}}',
  '{"record":{"Key":{"Created":9007199254740993,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":""}}',
  '{"record":{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":9007199254740993}},"Data":""}}',
  '{"record":{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k\n","Created":1}},"Data":""}}',
  '{"record":{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":"","Data":""}}',
  '{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":"}',
  '{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":"\\/\\/\\/\\/"}',
  '{"Key":{"Created":1,"Key":"","ParentKeyMeta":{"KeyId":"k","Created":1}},"Data":"AAAA","Data":"AA=="}',
];

describe('the fast path for a request body', () => {
  it.each([
    ['encrypt', encrypt, readPlaintextBody],
    ['decrypt', decrypt, readRecordBody],
    ['rewrap', rewrap, readRecordBody],
  ] as const)('returns the same item as the JSON parser for %s', (_, operation, fast) => {
    const itemOf = (text: string): unknown => {
      const body = fast(text);
      return body && outcome(() => operation.parse(body));
    };
    const plainItemOf = (text: string): unknown => operation.parse(requestOf(text).value);
    expect(compare(anyText, itemOf, plainItemOf, EXAMPLES)).toBeGreaterThan(ENOUGH);
  });
});

function cutToValue(text: string): unknown {
  const cut = cutPayload(text);
  return cut && { ...cut.rest, Data: cut.data };
}

function parseToValue(text: string): unknown {
  const value = JSON.parse(text) as { Data: string };
  return { ...value, Data: decodeBase64(value.Data) };
}

it('the fast path for a record returns the same members as JSON.parse', () => {
  expect(compare(anyText, cutToValue, parseToValue, EXAMPLES)).toBeGreaterThan(ENOUGH);
});

/** Decodes the text. Returns undefined if the fast path declines it. */
function decodeIfCut(text: string): unknown {
  return cutPayload(text) && outcome(() => decodeDataRowRecord(text));
}

function decodePlainly(text: string): unknown {
  return dataRowRecordFromValue(JSON.parse(text));
}

it('the fast path for records decodes to the same record as JSON.parse, or fails with the same error', () => {
  expect(compare(anyText, decodeIfCut, decodePlainly, EXAMPLES)).toBeGreaterThan(ENOUGH);
});

it('the fast path for strings returns the same text as JSON.parse', () => {
  const source = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), crooked).map((text) => JSON.stringify(text));
  expect(compare(source, readUnescaped, (text) => JSON.parse(text))).toBeGreaterThan(ENOUGH);
});

/** JSON texts with few different names, so that names often repeat. */
const { value: repetitive } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom('1', '""', '":"', '"a:{b"', 'null', '"\\\\"', '{}', '[]'),
    fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(' , ')}]`),
    fc
      .array(fc.tuple(fc.constantFrom('a', 'b:', '', '0', '__proto__', '\\u0061'), tie('value')), { maxLength: 4 })
      .map((members) => `{${members.map(([name, value]) => `"${name}" :${value}`).join(',')}}`),
  ),
}));

function countsRepeatedName(text: string): boolean | undefined {
  return hasRepeatedNames(text, JSON.parse(text));
}

function locatesRepeatedName(text: string): boolean {
  try {
    locateValues(text);
    return false;
  } catch (error) {
    if (error instanceof KeyfoldError) return true;
    throw error;
  }
}

it('hasRepeatedNames and locateValues find a repeated name in the same texts', () => {
  expect(compare(repetitive, countsRepeatedName, locatesRepeatedName)).toBeGreaterThan(ENOUGH);
});

/** JSON texts with numbers of many lengths and forms, including numbers inside strings. */
const numeric = fc.oneof(
  fc.bigInt().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.oneof(fc.integer({ min: 0, max: 999 }), fc.maxSafeNat(), fc.bigInt({ min: 10n ** 14n, max: 10n ** 17n })),
      fc.constantFrom('', '.5', '.9999999999999999'),
      fc.constantFrom('', 'e1', 'E+14', 'e-3', 'E16', 'e+308', 'e400'),
    )
    .map((parts) => parts.join('')),
  fc.bigInt().map((number) => `"${number}"`),
);
const numbers = fc.array(numeric, { maxLength: 3 }).map((items) => `[${items.join(',')}]`);

function findsLargeNumber(text: string): boolean {
  return (JSON.parse(text) as unknown[]).some(
    (item) => typeof item === 'number' && Math.abs(item) > Number.MAX_SAFE_INTEGER,
  );
}

it('hasLargeNumber finds every number beyond the safe integers, by its digits or its exponent', () => {
  const examples = ['[999999999999999.9]', '[1e15]', '[123456789e+7]', '[-9007199254740992]'];
  expect(compare(numbers, hasLargeNumber, findsLargeNumber, examples)).toBeGreaterThan(ENOUGH);
});
