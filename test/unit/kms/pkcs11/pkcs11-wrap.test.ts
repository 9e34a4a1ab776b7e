import { expect, it } from 'vitest';
import { decodeWrap, encodeWrap } from '../../../../src/kms/pkcs11/pkcs11-wrap.ts';

const wrapOf = (mechanism: string, bytes: number): Buffer =>
  Buffer.from(`pkcs11:${mechanism}:label:${Buffer.alloc(bytes).toString('base64')}`);

it('a wrap with AES-GCM has a nonce of 12 bytes, a tag of 16 bytes, and at least one byte of a key', () => {
  for (const bytes of [1, 12, 24, 25, 28]) expect(decodeWrap(wrapOf('gcm', bytes))).toBeUndefined();
  for (const bytes of [29, 60]) {
    expect(decodeWrap(wrapOf('gcm', bytes))).toEqual({
      mechanism: 'CKM_AES_GCM',
      keyLabel: 'label',
      bytes: Buffer.alloc(bytes),
    });
  }
});

it('a wrap with AES key wrap has at least two blocks of eight bytes', () => {
  for (const bytes of [1, 8, 15, 17, 23, 25]) expect(decodeWrap(wrapOf('kwp', bytes))).toBeUndefined();
  for (const bytes of [16, 24, 40]) {
    expect(decodeWrap(wrapOf('kwp', bytes))).toEqual({
      mechanism: 'CKM_AES_KEY_WRAP_PAD',
      keyLabel: 'label',
      bytes: Buffer.alloc(bytes),
    });
  }
});

it.for([
  'pkcs11:cbc:label:AAAA',
  'pkcs11:kwp::AAAAAAAAAAAAAAAAAAAAAA==',
  'pkcs11:kwp:label:',
  'pkcs11:kwp:label:AAAAAAAAAAAAAAAAAAAAA',
  'pkcs11:kwp:label:AAAAAAAAAAAAAAAAAAAAAA==:',
  ' pkcs11:kwp:label:AAAAAAAAAAAAAAAAAAAAAA==',
  'pkcs11:kwp:%:AAAAAAAAAAAAAAAAAAAAAA==',
  'pkcs11:kwp:%1F:AAAAAAAAAAAAAAAAAAAAAA==',
])('%j is not a wrap', (text) => {
  expect(decodeWrap(Buffer.from(text))).toBeUndefined();
});

it('a wrap has at most 1024 characters', () => {
  const longest = { mechanism: 'CKM_AES_GCM', keyLabel: 'four', bytes: Buffer.alloc(756) } as const;
  const tooLong = { ...longest, keyLabel: 'fives' };
  expect([longest, tooLong].map((one) => encodeWrap(one).length)).toEqual([1024, 1025]);
  expect(decodeWrap(encodeWrap(longest))).toEqual(longest);
  expect(decodeWrap(encodeWrap(tooLong))).toBeUndefined();
});
