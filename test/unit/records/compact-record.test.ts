import { describe, expect, it } from 'vitest';
import {
  compactLength,
  decodeCompactRecord,
  encodeCompactRecord,
  looksCompact,
} from '../../../src/records/compact-record.ts';
import { KeyfoldError, type DataRowRecord } from '../../../src/index.ts';

const record: DataRowRecord = {
  key: {
    created: 1_690_000_000,
    encryptedKey: Buffer.alloc(60, 1),
    parent: { id: '_IK_té_s_p', created: 2 ** 48 - 1 },
  },
  data: Buffer.alloc(28, 2),
};
const BYTES = Buffer.concat([
  Buffer.from('000064bb5a80', 'hex'),
  Buffer.from('ffffffffffff', 'hex'),
  Buffer.from('000b', 'hex'),
  Buffer.from('_IK_té_s_p'),
  Buffer.alloc(60, 1),
  Buffer.alloc(28, 2),
]);
const SHORT = 'ends too early';
const NOT_BASE64 = 'is not unpadded base64url';
const TEXT = `kf1.${BYTES.toString('base64url')}`;

function changed(key: Partial<DataRowRecord['key']>, data = record.data): DataRowRecord {
  return { key: { ...record.key, ...key }, data };
}

describe('a compact record', () => {
  it('has the documented bytes after its prefix', () => {
    expect(encodeCompactRecord(record, 'bytes')).toBe(TEXT);
    expect(encodeCompactRecord(record, 'json')).toBe(TEXT.replace('kf1.', 'kf1j.'));
  });

  it('decodes to the record and the kind that were encoded', () => {
    expect(decodeCompactRecord(TEXT)).toEqual({ kind: 'bytes', record });
    expect(decodeCompactRecord(TEXT.replace('kf1.', 'kf1j.'))).toEqual({ kind: 'json', record });
  });

  it.for([0, 1, 2, 3, 1000])('has the length that compactLength computes for a payload of %i bytes', (bytes) => {
    const unbound = changed({}, Buffer.alloc(28 + bytes));
    expect(encodeCompactRecord(unbound, 'json')).toHaveLength(compactLength('json', 11, bytes, false));
    const bound = { ...unbound, proof: Buffer.alloc(32) };
    expect(encodeCompactRecord(bound, 'json')).toHaveLength(compactLength('json', 11, bytes, true));
  });

  it.for(['bytes', 'json'] as const)(
    'of the kind "%s" keeps a proof, and has another prefix than a record without a proof',
    (kind) => {
      const bound = { ...record, proof: Buffer.alloc(32, 7) };
      const text = encodeCompactRecord(bound, kind) ?? '';
      expect(text.startsWith(kind === 'bytes' ? 'kf2.' : 'kf2j.')).toBe(true);
      expect(decodeCompactRecord(text)).toEqual({ kind, record: bound });
    },
  );

  it('without a proof is not read as a record with a proof', () => {
    expect(() => decodeCompactRecord(TEXT.replace('kf1.', 'kf2.'))).toThrow(
      'The compact record is malformed: it ends too early.',
    );
  });

  it.for([
    ['a time before 1970', changed({ created: -1 })],
    ['a time that is not a whole number', changed({ created: 1.5 })],
    ['a parent time before 1970', changed({ parent: { id: 'i', created: -1 } })],
    ['a time past 2^48', changed({ parent: { id: 'i', created: 2 ** 48 } })],
    ['a sealed key with another length', changed({ encryptedKey: Buffer.alloc(61) })],
    ['an empty ID', changed({ parent: { id: '', created: 1 } })],
    ['an ID that is too long', changed({ parent: { id: 'i'.repeat(65_536), created: 1 } })],
    ['an ID with half a surrogate pair', changed({ parent: { id: '\ud800', created: 1 } })],
    ['a payload without a tag', changed({}, Buffer.alloc(27))],
  ])('cannot represent a record with %s', ([, odd]) => {
    expect(encodeCompactRecord(odd as DataRowRecord, 'bytes')).toBeUndefined();
  });

  it.for([
    ['dates in the first second of 1970', { created: 0, parent: { id: 'i', created: 0 } }],
    ['an id that begins with a byte order mark', { parent: { id: '\ufeffi', created: 1 } }],
  ] as const)('with %s is unchanged after encoding and decoding', ([, change]) => {
    const odd = changed(change);
    expect(decodeCompactRecord(encodeCompactRecord(odd, 'bytes') ?? '')).toEqual({ kind: 'bytes', record: odd });
  });

  it('with the longest ID is unchanged after encoding and decoding', () => {
    const long = changed({ parent: { id: 'i'.repeat(65_535), created: 1 } });
    expect(decodeCompactRecord(encodeCompactRecord(long, 'bytes') ?? '')).toEqual({ kind: 'bytes', record: long });
  });

  it.for([
    ['another prefix', TEXT.replace('kf1', 'kf2'), SHORT],
    ['no prefix', TEXT.slice(4), 'does not begin with kf1., kf1j., kf2. or kf2j.'],
    ['only a prefix', 'kf1.', SHORT],
    ['padding', `${TEXT}=`, NOT_BASE64],
    ['white space', `${TEXT}\n`, NOT_BASE64],
    ['the alphabet of standard base64', TEXT.replaceAll('_', '/'), NOT_BASE64],
    ['unused bits that are not zero', withLast(TEXT), NOT_BASE64],
    ['a payload that ends too early', `kf1.${BYTES.subarray(0, -1).toString('base64url')}`, SHORT],
    ['an id that ends too late', `kf1.${patched(12, 0xff).toString('base64url')}`, SHORT],
    [
      'an id of zero bytes',
      `kf1.${Buffer.concat([BYTES.subarray(0, 12), Buffer.alloc(102)]).toString('base64url')}`,
      SHORT,
    ],
    ['an id that is not UTF-8', `kf1.${patched(14, 0xff).toString('base64url')}`, "holds a key's id that is not UTF-8"],
    ['fewer bytes than a header', 'kf1.AAAA', SHORT],
  ] as const)('is refused if it has %s, and the error does not quote the record', ([, text, what]) => {
    const { message, ...error } = thrownBy(() => decodeCompactRecord(text));
    expect(error).toMatchObject({ code: 'InvalidRequest' });
    expect(message).toBe(`The compact record is malformed: it ${what}.`);
  });

  it('is recognised by its prefix alone', () => {
    expect(['kf1.', 'kf1j.x'].map(looksCompact)).toEqual([true, true]);
    expect(['', 'kf1', 'kf1k.', ' kf1.', 'KF1.'].map(looksCompact)).toEqual([false, false, false, false, false]);
  });
});

function patched(at: number, byte: number): Buffer {
  const bytes = Buffer.from(BYTES);
  bytes[at] = byte;
  return bytes;
}

/** Sets one of the unused bits in the last character of a string. */
function withLast(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return text.slice(0, -1) + alphabet[alphabet.indexOf(text.at(-1) ?? '') + 1];
}

function thrownBy(work: () => unknown): KeyfoldError {
  try {
    work();
  } catch (error) {
    if (error instanceof KeyfoldError) return error;
  }
  throw new Error('threw no KeyfoldError');
}

it('encodeCompactRecord refuses an unknown kind', () => {
  expect(() => encodeCompactRecord(record, 'text' as never)).toThrow(
    new TypeError("kind must be 'bytes' or 'json', not a string."),
  );
});
