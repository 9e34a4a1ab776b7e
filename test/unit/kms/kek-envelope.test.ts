import { describe, expect, it } from 'vitest';
import { decodeKekEnvelope, encodeKekEnvelope, replaceKeks } from '../../../src/kms/kek-envelope.ts';

const kek = { region: 'us-west-2', arn: 'alias/x', encryptedKek: Buffer.from('wrap') };
const envelope = { encryptedKey: Buffer.from('sealed'), kmsKeks: [kek] };
const written = { region: 'us-west-2', arn: 'alias/x', encryptedKek: 'd3JhcA==' };

function decode(value: unknown): unknown {
  return decodeKekEnvelope(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
}

describe('a KMS envelope', () => {
  it('is encoded as Asherah encodes it, and decoded again', () => {
    const bytes = encodeKekEnvelope(envelope);
    expect(JSON.parse(bytes.toString())).toEqual({ encryptedKey: 'c2VhbGVk', kmsKeks: [written] });
    expect(decodeKekEnvelope(bytes)).toEqual(envelope);
  });

  it.for([
    ['not JSON', '{'],
    ['null', null],
    ['a number', 5],
    ['without a sealed key', { kmsKeks: [written] }],
    ['with a sealed key of another type', { encryptedKey: 5, kmsKeks: [written] }],
    ['with a sealed key that is not base64', { encryptedKey: '!', kmsKeks: [written] }],
    ['without wraps', { encryptedKey: 'c2VhbGVk' }],
    ['with wraps that are not an array', { encryptedKey: 'c2VhbGVk', kmsKeks: { 0: written } }],
  ] as const)('is refused if it is %s', ([, value]) => {
    expect(decode(value)).toBeUndefined();
  });

  it('is refused if its bytes are not UTF-8', () => {
    const bytes = Buffer.concat([
      Buffer.from('{"encryptedKey":"c2VhbGVk","kmsKeks":[],"x":"'),
      Buffer.from([0xff]),
      Buffer.from('"}'),
    ]);
    expect(decodeKekEnvelope(bytes)).toBeUndefined();
  });

  it.for([
    ['null', null],
    ['a string', 'x'],
    ['a region that is not a string', { ...written, region: 5 }],
    ['no ARN', { ...written, arn: undefined }],
    ['a wrap that is not base64', { ...written, encryptedKek: 'not base64' }],
    ['an ARN that is too long for KMS', { ...written, arn: 'a'.repeat(2049) }],
    ['a wrap that is too long for KMS', { ...written, encryptedKek: Buffer.alloc(6145).toString('base64') }],
  ] as const)('loses only its broken entry when the envelope is decoded (%s)', ([, broken]) => {
    expect(decode({ encryptedKey: 'c2VhbGVk', kmsKeks: [broken, written] })).toEqual(envelope);
  });

  it('can have wraps and ARNs of the maximum length that KMS accepts', () => {
    const longest = { ...kek, arn: 'a'.repeat(2048), encryptedKek: Buffer.alloc(6144) };
    const long = { ...envelope, kmsKeks: [longest] };
    expect(decodeKekEnvelope(encodeKekEnvelope(long))).toEqual(long);
  });

  it('can be as large as a DynamoDB item, but no larger', () => {
    const bytes = encodeKekEnvelope(envelope);
    const padded = (length: number): Buffer => Buffer.concat([bytes, Buffer.alloc(length - bytes.length, ' ')]);
    expect(decodeKekEnvelope(padded(409_600))).toEqual(envelope);
    expect(decodeKekEnvelope(padded(409_601))).toBeUndefined();
  });

  it('keeps its other entries when replaceKeks replaces the wraps for a region', () => {
    const other = { ...written, region: 'us-east-1', more: 1 };
    const bytes = Buffer.from(JSON.stringify({ encryptedKey: 'c2VhbGVk', kmsKeks: [written, other, written, 'odd'] }));
    expect(JSON.parse(replaceKeks(bytes, [{ ...kek, arn: 'new' }]).toString())).toEqual({
      encryptedKey: 'c2VhbGVk',
      kmsKeks: [other, 'odd', { ...written, arn: 'new' }],
    });
  });
});
