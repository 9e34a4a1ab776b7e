import { describe, expect, it } from 'vitest';
import { decodeBase64 } from '../../../src/crypto/base64.ts';
import { errorNameOf, keyRowUnreadable } from '../../../src/errors.ts';
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
    ['the record', 'is null', null],
    ['the record', 'is a string', 'text'],
    ['the record', 'is an array', [wire]],
    ['Key', 'is undefined', { ...wire, Key: undefined }],
    ['Key', 'is absent', { Data: wire.Data, key: wire.Key }],
    ['Key', 'is an array', { ...wire, Key: [] }],
    ['Key.Created', 'is a string', { ...wire, Key: { ...wire.Key, Created: '1690000000' } }],
    ['Key.Created', 'is not a whole number', { ...wire, Key: { ...wire.Key, Created: 1.5 } }],
    ['Key.Created', 'is too large', { ...wire, Key: { ...wire.Key, Created: 2 ** 53 } }],
    ['Key.Key', 'is null', { ...wire, Key: { ...wire.Key, Key: null } }],
    ['Key.Key', 'is not base64', { ...wire, Key: { ...wire.Key, Key: 'CANARY!' } }],
    ['Key.ParentKeyMeta', 'is null', { ...wire, Key: { ...wire.Key, ParentKeyMeta: null } }],
    ['Key.ParentKeyMeta.KeyId', 'is absent', { ...wire, Key: { ...wire.Key, ParentKeyMeta: { Created: 1 } } }],
    ['Key.ParentKeyMeta.Created', 'is absent', { ...wire, Key: { ...wire.Key, ParentKeyMeta: { KeyId: 'CANARY' } } }],
    ['Data', 'is absent', { Key: wire.Key }],
    ['Data', 'is not base64', { ...wire, Data: 'CANARY' }],
    ['Data', 'is an array', { ...wire, Data: ['c2VhbGVkIHBheWxvYWQh'] }],
  ] as const)('is refused if %s %s, with an error that names the faulty part but not its value', ([name, , value]) => {
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
  it.for([
    ['an empty string', ''],
    ['one byte', 'AA=='],
    ['two bytes', 'AAA='],
    ['three bytes', 'AAAA'],
    ['the characters + and /', '+/+/'],
    ['two bytes whose bits are all set', '//8='],
  ] as const)('decodes %s', ([, text]) => {
    expect(decodeBase64(text)?.toString('base64')).toBe(text);
  });

  it.for([
    ['one character', 'A'],
    ['two characters without padding', 'AA'],
    ['three characters without padding', 'AAA'],
    ['two characters with only one padding character', 'AA='],
    ['unused bits that are not zero before ==', 'AB=='],
    ['unused bits that are not zero before =', 'AAB='],
    ['padding before the end', 'AA==AA=='],
    ['the characters - and _ of base64url', '-_-_'],
    ['a line feed at the end', 'AAAA\n'],
    ['a space at the start', ' AAAA'],
    ['a line break in the middle', 'AA\r\nAA'],
    ['padding after a complete group', 'AAAA='],
    ['only padding', '===='],
    ['a letter beyond ASCII', 'ÄAAA'],
  ] as const)('refuses %s', ([, text]) => {
    expect(decodeBase64(text)).toBeUndefined();
  });
});

const isRetryable = (code: string): boolean => new KeyfoldError(code as never, 'x').retryable;

it('KeyfoldError.retryable depends only on the code', () => {
  const outages = ['KmsThrottled', 'KmsUnavailable', 'MetastoreUnavailable', 'NotReady'];
  const retryable = ['KeyNotYetVisible', 'DeadlineExceeded', ...outages];
  const permanent = ['InvalidConfiguration', 'InvalidRequest', 'Forbidden', 'FieldNotFound', 'RecordUnreadable'];
  permanent.push('ContextRequired', 'PartitionErased');
  const refused = ['Unauthenticated', 'NotFound', 'MethodNotAllowed', 'UnsupportedMediaType', 'PayloadTooLarge'];
  const broken = ['KmsMisconfigured', 'KeyRowUnreadable', 'Internal'];
  expect(retryable.filter(isRetryable)).toEqual(retryable);
  expect([...permanent, ...refused, ...broken].filter(isRetryable)).toEqual([]);
});

it.for([
  ['the name toString', 'toString'],
  ['the name hasOwnProperty', 'hasOwnProperty'],
  ['a number', 5],
  ['undefined', undefined],
] as const)('the KeyfoldError constructor refuses %s as the code', ([, code]) => {
  expect(() => new KeyfoldError(code as never, 'x')).toThrow('code must be an ErrorCode');
});

it.for<[string, unknown[]]>([
  ['code must be an ErrorCode, not a string.', ['Wrong', 'x']],
  ['message must be a string, not a number.', ['Internal', 5]],
  ['options must be an object, not a string.', ['Internal', 'x', 'cause']],
  ['options has no option reason', ['Internal', 'x', { reason: 'y' }]],
])('the KeyfoldError constructor throws the TypeError "%s" for wrong arguments', ([message, given]) => {
  const make = (): KeyfoldError => new KeyfoldError(...(given as ['Internal', 'x']));
  expect(make).toThrow(TypeError);
  expect(make).toThrow(message);
});

it('KeyRowUnreadable names the row, with hidden characters escaped, and keeps its cause', () => {
  const cause = new Error('why');
  const error = keyRowUnreadable({ id: '_IK_p\u001b_svc_prod', created: 60 }, 'it has no proof', cause);
  expect(error).toMatchObject({ code: 'KeyRowUnreadable', cause });
  expect(error.message).toBe('The key row _IK_p\\u001b_svc_prod created 60 cannot be read: it has no proof.');
});

it.for<[string, unknown, string]>([
  ['its code', Object.assign(new Error('x'), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
  ['its name if it has no code', new TypeError('x'), 'TypeError'],
  ['its name if its code is a number', Object.assign(new Error('x'), { code: 5 }), 'Error'],
  ['a code of 64 characters', Object.assign(new Error('x'), { code: 'A'.repeat(64) }), 'A'.repeat(64)],
  ['UnknownError instead of a longer code', Object.assign(new Error('x'), { code: 'A'.repeat(65) }), 'UnknownError'],
  ['UnknownError instead of an empty code', Object.assign(new Error('x'), { code: '' }), 'UnknownError'],
  ['UnknownError instead of a code with a space', Object.assign(new Error('x'), { code: 'a b' }), 'UnknownError'],
  ['UnknownError if it is no Error', { code: 'ECONNREFUSED', name: 'Error' }, 'UnknownError'],
])('the name of a thrown value in logs is %s', ([, thrown, name]) => {
  expect(errorNameOf(thrown)).toBe(name);
});
