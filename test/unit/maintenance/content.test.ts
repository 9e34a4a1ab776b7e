import { describe, expect, it } from 'vitest';
import { contentOf, mayBeRecord } from '../../../src/maintenance/reencryption/content.ts';
import { encodeCompactRecord, encodeDataRowRecord } from '../../../src/index.ts';
import { secondsOf } from '../../../src/records/ids.ts';

const RECORD = {
  key: {
    created: secondsOf(60_000),
    encryptedKey: Buffer.alloc(60),
    parent: { id: '_IK_a_b_c' as never, created: secondsOf(60_000) },
  },
  data: Buffer.alloc(28),
};
const COMPACT = encodeCompactRecord(RECORD, 'bytes') ?? '';
const OBJECT = encodeDataRowRecord(RECORD);

describe('a cell', () => {
  it.for([
    ['a compact record', COMPACT, 'record'],
    ['a record as JSON', OBJECT, 'record'],
    ['an object', '{"a":1}', 'document'],
    ['a list after white space', ' \n[1]', 'document'],
    ['a list', '[1]', 'document'],
    ['the start of an object', '{"a":', 'plain'],
    ['the start of a list', '[1', 'plain'],
    ['an object with something after it', '{"a":1}x', 'plain'],
    ['a number', '1', 'plain'],
    ['a string of JSON', '"a"', 'plain'],
    ['text', 'kx', 'plain'],
    ['nothing', '', 'plain'],
  ] as const)('that holds %s (%s) is classified as %s', ([, text, is]) => {
    expect(contentOf({ kind: 'text', text }).is).toBe(is);
    const bytes = Buffer.from(text);
    // Bytes count as text only if they begin with a character with which a record can begin.
    const isRead = text.startsWith('{') || text.startsWith('k');
    expect(contentOf({ kind: 'bytes', bytes }).is).toBe(isRead ? is : 'plain');
  });

  it('that holds bytes is plain if the bytes are not UTF-8', () => {
    expect(contentOf({ kind: 'bytes', bytes: Buffer.from('{"a":"\xe9"}', 'latin1') })).toEqual({ is: 'plain' });
  });

  it('that looks like a record but cannot be read as a record is refused', () => {
    for (const text of [COMPACT.slice(0, 40), '{"ParentKeyMeta":1}'])
      expect(() => contentOf({ kind: 'text', text })).toThrow(expect.objectContaining({ code: 'InvalidRequest' }));
  });
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');

it('mayBeRecord accepts a text that contains a record, or that has a base64 record at its beginning or after a quotation mark', () => {
  const long = 'a'.repeat(100);
  const records = [
    `"kf1.${long}"`,
    ` kf2j.${long}`,
    '"{\\"Key\\":{\\"ParentKeyMeta\\":{}}}"',
    '\ufeff{"ParentKeyMeta":{}}',
    base64('{"Key":{"Created":1}}'),
    base64('{"Data":"AAAA","Key":{}}'),
    JSON.stringify([base64('{"Key":{"Created":1}}')]),
    ...['kf1.', 'kf1j.', 'kf2.', 'kf2j.'].map((prefix) => base64(prefix + long)),
  ];
  const others = ['kf1.short', `kf3.${long}`, 'ParentKeyMeta', base64('kf1.short'), `x${base64(`kf1.${long}`)}`];
  expect(records.filter((text) => !mayBeRecord(text))).toEqual([]);
  expect(others.filter((text) => mayBeRecord(text))).toEqual([]);
});
