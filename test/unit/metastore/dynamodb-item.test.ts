import { describe, expect, it } from 'vitest';
import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { decodeKeyItem, encodeKeyItem, readKeyItem, type KeyItem } from '../../../src/metastore/dynamodb-item.ts';
import { encodeMarkedItem } from '../../../src/metastore/dynamodb-marks.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';

const parent = { id: '_SK_svc_prod', created: 60 } as never;
const intermediate = keyRecord('_IK_p_svc_prod', 120, { parent, encryptedKey: Buffer.from('sealed') });
const item = encodeKeyItem(intermediate);
const inner = item['KeyRecord']?.M ?? {};

function revoked(attributes: KeyItem): boolean {
  return decodeKeyItem({ ...item, KeyRecord: { M: { ...inner, ...attributes } } }).revoked;
}

describe('a key row', () => {
  it('is encoded as Asherah encodes it', () => {
    expect(item).toEqual({
      Id: { S: '_IK_p_svc_prod' },
      Created: { N: '120' },
      KeyRecord: {
        M: {
          Created: { N: '120' },
          Key: { S: 'c2VhbGVk' },
          ParentKeyMeta: { M: { KeyId: { S: '_SK_svc_prod' }, Created: { N: '60' } } },
        },
      },
    });
  });

  it('is unchanged after encoding and decoding, revoked or not, with or without a parent', () => {
    for (const changes of [{}, { revoked: true }, { parent: undefined }]) {
      const record = { ...intermediate, ...changes };
      expect(decodeKeyItem(encodeKeyItem(record))).toEqual(record);
    }
  });

  it('is not revoked if Revoked is false or absent', () => {
    expect(revoked({})).toBe(false);
    expect(revoked({ Revoked: { BOOL: false } })).toBe(false);
    expect(revoked({ Revoked: { BOOL: true } })).toBe(true);
  });

  it.for([
    ['Id', { Id: { N: '1' } }],
    ['Created', { Created: { S: '120' } }],
    ['Created', { Created: { N: '1.5' } }],
    ['KeyRecord', { KeyRecord: { S: '' } }],
    ['KeyRecord.Key', { KeyRecord: { M: { ...inner, Key: { S: 'not base64' } } } }],
    ['KeyRecord.Key', { KeyRecord: { M: { ParentKeyMeta: inner['ParentKeyMeta'] } } }],
    ['KeyRecord.ParentKeyMeta', { KeyRecord: { M: { ...inner, ParentKeyMeta: { S: 'x' } } } }],
    ['KeyRecord.ParentKeyMeta', { KeyRecord: { M: { ...inner, ParentKeyMeta: { M: { KeyId: { S: 'x' } } } } } }],
    ['KeyRecord.ParentKeyMeta', { KeyRecord: { M: { ...inner, ParentKeyMeta: { M: { Created: { N: '60' } } } } } }],
    ['Created', { Created: { N: '9007199254740992' } }],
    ['Created', { Created: { N: '120.00000000000000000001' } }],
    ['Created', { Created: { N: '0x78' } }],
    ['Created', { Created: { N: '' } }],
    [
      'KeyRecord.ParentKeyMeta',
      {
        KeyRecord: {
          M: { ...inner, ParentKeyMeta: { M: { KeyId: { S: 'x' }, Created: { N: '60.00000000000000001' } } } },
        },
      },
    ],
    ['KeyRecord.Revoked', { KeyRecord: { M: { ...inner, Revoked: { S: 'true' } } } }],
  ] as const)(
    'is refused with an error that names %s if that attribute is missing or malformed',
    ([attribute, change]) => {
      expect(() => decodeKeyItem({ ...item, ...change } as KeyItem)).toThrow(`${attribute} is missing or malformed`);
    },
  );

  it("is refused if the date in KeyRecord differs from the row's date by a tiny fraction", () => {
    const changed = { ...item, KeyRecord: { M: { ...inner, Created: { N: '120.00000000000000000001' } } } };
    expect(() => decodeKeyItem(changed)).toThrow(
      'The key row _IK_p_svc_prod created 120 cannot be read: KeyRecord.Created differs from Created.',
    );
  });

  it('can have its date in any notation of the whole number, such as 1.2E+2', () => {
    for (const N of ['120', '120.0', '1.2E+2', '1.2e2'])
      expect(decodeKeyItem({ ...item, Created: { N } })).toEqual(intermediate);
  });

  it('has its proof in an attribute next to KeyRecord', () => {
    const proof = Buffer.alloc(32, 3);
    const proven = encodeKeyItem({ ...intermediate, proof });
    expect(proven).toEqual({ ...item, Proof: { B: proof } });
    expect(decodeKeyItem(proven).proof).toEqual(proof);
    expect(decodeKeyItem(item)).not.toHaveProperty('proof');
  });

  it.for<[string, AttributeValue]>([
    ['a string', { S: 'x' }],
    [
      'a map with values of other types',
      { M: { Erase: { N: '1' }, At: { S: '1' }, Due: { N: '1.5' }, Proof: { S: '' } } },
    ],
  ])('is read as marked for erasure, but with an empty proof, if the erasure mark is %s', ([, Erased]) => {
    const erased = { erase: '', at: 0, due: 0, proof: Buffer.alloc(0) };
    expect(decodeKeyItem({ ...item, Erased })).toEqual({ ...intermediate, erased });
  });

  it('stores an erasure mark in an attribute next to KeyRecord', () => {
    const erased = { erase: 'e1', at: intermediate.created, due: 240 as never, proof: Buffer.alloc(32, 7) };
    const marked = encodeMarkedItem({ ...intermediate, erased });
    expect(marked).toEqual({
      ...item,
      Erased: { M: { Erase: { S: 'e1' }, At: { N: '120' }, Due: { N: '240' }, Proof: { B: erased.proof } } },
    });
    expect(decodeKeyItem(marked)).toEqual({ ...intermediate, erased });
    expect(encodeMarkedItem(intermediate)).toEqual(item);
  });

  it.for<[string, AttributeValue]>([
    ['of 31 bytes', { B: Buffer.alloc(31) }],
    ['that is a string', { S: 'x' }],
  ])('is refused if it has a proof %s', ([, Proof]) => {
    expect(() => decodeKeyItem({ ...item, Proof })).toThrow('Proof is missing or malformed');
  });

  it('is reported with its raw ID and date if the row cannot be read', () => {
    const row = { id: '_IK_p_svc_prod', created: undefined };
    expect(readKeyItem({ ...item, Created: { N: '1.5' } })).toEqual({
      ...row,
      rawCreated: '1.5',
      unreadable: 'The key row _IK_p_svc_prod created 1.5 cannot be read: Created is missing or malformed.',
    });
    expect(readKeyItem({})).toEqual({
      id: '',
      created: undefined,
      rawCreated: undefined,
      unreadable: 'The key row (no id) created ? cannot be read: Id is missing or malformed.',
    });
    expect(readKeyItem({ ...item, KeyRecord: { S: '' } })).toEqual({
      id: '_IK_p_svc_prod',
      created: 120,
      unreadable: 'The key row _IK_p_svc_prod created 120 cannot be read: KeyRecord is missing or malformed.',
    });
  });

  it('has an escaped ID in errors if the ID contains control characters', () => {
    const broken = { ...item, Id: { S: '_SK_\u001b[2J' }, KeyRecord: { S: '' } };
    expect(() => decodeKeyItem(broken)).toThrow('The key row _SK_\\u001b[2J created 120 cannot be read');
  });
});
