import { describe, expect, it } from 'vitest';
import { decodeBase64 } from '../../../src/crypto/base64.ts';
import { KeyfoldError } from '../../../src/index.ts';
import {
  dataRowRecordFromValue,
  decodeDataRowRecord,
  encodeDataRowRecord,
  type DataRowRecord,
} from '../../../src/index.ts';

const record: DataRowRecord = {
  key: {
    created: 1690000000,
    encryptedKey: Buffer.from('sealed key'),
    parent: { id: '_IK_"p"_svc_prod', created: 1689999960 },
  },
  data: Buffer.from('sealed payload!'),
};
const wire = {
  Key: {
    Created: 1690000000,
    Key: 'c2VhbGVkIGtleQ==',
    ParentKeyMeta: { KeyId: '_IK_"p"_svc_prod', Created: 1689999960 },
  },
  Data: 'c2VhbGVkIHBheWxvYWQh',
};

describe('a Data Row Record', () => {
  it('is encoded as Asherah encodes it', () => {
    expect(JSON.parse(encodeDataRowRecord(record))).toEqual(wire);
  });

  it('is unchanged after encoding and decoding', () => {
    expect(decodeDataRowRecord(encodeDataRowRecord(record))).toEqual(record);
  });

  it('is decoded even if it has unknown members', () => {
    const more = {
      ...wire,
      More: 1,
      Key: { ...wire.Key, Revoked: true, ParentKeyMeta: { ...wire.Key.ParentKeyMeta, X: [] } },
    };
    expect(dataRowRecordFromValue(more)).toEqual(record);
  });

  it.for([
    ['the record', null],
    ['the record', 'text'],
    ['the record', [wire]],
    ['Key', { ...wire, Key: undefined }],
    ['Key', { Data: wire.Data, key: wire.Key }],
    ['Key', { ...wire, Key: [] }],
    ['Key.Created', { ...wire, Key: { ...wire.Key, Created: '1690000000' } }],
    ['Key.Created', { ...wire, Key: { ...wire.Key, Created: 1.5 } }],
    ['Key.Created', { ...wire, Key: { ...wire.Key, Created: 2 ** 53 } }],
    ['Key.Key', { ...wire, Key: { ...wire.Key, Key: null } }],
    ['Key.Key', { ...wire, Key: { ...wire.Key, Key: 'CANARY!' } }],
    ['Key.ParentKeyMeta', { ...wire, Key: { ...wire.Key, ParentKeyMeta: null } }],
    ['Key.ParentKeyMeta.KeyId', { ...wire, Key: { ...wire.Key, ParentKeyMeta: { Created: 1 } } }],
    ['Key.ParentKeyMeta.Created', { ...wire, Key: { ...wire.Key, ParentKeyMeta: { KeyId: 'CANARY' } } }],
    ['Data', { Key: wire.Key }],
    ['Data', { ...wire, Data: 'CANARY' }],
    ['Data', { ...wire, Data: ['c2VhbGVkIHBheWxvYWQh'] }],
  ] as const)('is refused with an error that names %s but not its value: %j', ([name, value]) => {
    let thrown: unknown;
    try {
      dataRowRecordFromValue(value);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(KeyfoldError);
    expect((thrown as KeyfoldError).code).toBe('InvalidRequest');
    expect((thrown as KeyfoldError).cause).toBeUndefined();
    expect((thrown as KeyfoldError).message).toMatch(`malformed: ${name} is not`);
    expect((thrown as KeyfoldError).message).not.toMatch('CANARY');
  });

  it.for([
    ['ends too early', '{"CANARY"'],
    ['has a comma in the wrong place', '{,"Data":"CANARYAA"}'],
  ] as const)('is not quoted in the error if its JSON %s', ([, text]) => {
    expect(() => decodeDataRowRecord(text)).toThrow(/^The record is not JSON\.$/);
  });

  it.for([
    ['key.created', { ...record, key: { ...record.key, created: 1.5 } }],
    ['key.parent.created', { ...record, key: { ...record.key, parent: { id: 'x', created: 2 ** 53 } } }],
  ] as const)('is not encoded if its %s is not a whole number', ([name, given]) => {
    expect(() => encodeDataRowRecord(given)).toThrow(`malformed: ${name} is not a whole number of seconds`);
  });
});

describe('decodeBase64', () => {
  it.for(['', 'AA==', 'AAA=', 'AAAA', '+/+/', '//8='])('decodes the string %j', (text) => {
    expect(decodeBase64(text)?.toString('base64')).toBe(text);
  });

  it.for([
    'A',
    'AA',
    'AAA',
    'AA=',
    'AB==',
    'AAB=',
    'AA==AA==',
    '-_-_',
    'AAAA\n',
    ' AAAA',
    'AA\r\nAA',
    'AAAA=',
    '====',
    'ÄAAA',
  ])('refuses the string %j', (text) => {
    expect(decodeBase64(text)).toBeUndefined();
  });
});

const isRetryable = (code: string): boolean => new KeyfoldError(code as never, 'x').retryable;

it('KeyfoldError.retryable depends only on the code', () => {
  const retryable = ['KeyNotYetVisible', 'KmsThrottled', 'KmsUnavailable', 'MetastoreUnavailable', 'DeadlineExceeded'];
  const permanent = ['InvalidConfiguration', 'InvalidRequest', 'Forbidden', 'FieldNotFound', 'RecordUnreadable'];
  const refused = ['Unauthenticated', 'NotFound', 'MethodNotAllowed', 'UnsupportedMediaType', 'PayloadTooLarge'];
  const broken = ['KmsMisconfigured', 'KeyRowUnreadable', 'Internal'];
  expect(retryable.filter(isRetryable)).toEqual(retryable);
  expect([...permanent, ...refused, ...broken].filter(isRetryable)).toEqual([]);
});

it.for(['toString', 'hasOwnProperty', 5, undefined])('the KeyfoldError constructor refuses the code %s', (code) => {
  expect(() => new KeyfoldError(code as never, 'x')).toThrow('code must be an ErrorCode');
});
