/** Tests how the client checks responses. A response may come from a proxy instead of Keyfold. */
import { describe, expect, it } from 'vitest';
import { PartitionClient } from '../../../src/client/partition.ts';
import { retryPolicy } from '../../../src/client/retry.ts';
import { failureOf } from '../../support/contract/client-contract.ts';

const HELLO = Buffer.from('hello');
const RECORD = {
  Key: { Created: 2, Key: 'AAEC', ParentKeyMeta: { KeyId: '_IK_p_s_p', Created: 1 } },
  Data: 'AwQF',
};
const COMPACT = 'kf1.AAEC';

/** Makes a client for a service that returns the same response to every call. */
function answering(value: unknown): PartitionClient {
  return new PartitionClient('p', { send: async () => ({ value, requestId: 'r1' }) }, retryPolicy({ maxAttempts: 1 }));
}

/** Returns the test record with some members replaced. */
function recordWith(key: object, parent: object = {}, data: unknown = RECORD.Data): unknown {
  const ParentKeyMeta = { ...RECORD.Key.ParentKeyMeta, ...parent };
  return { Key: { ...RECORD.Key, ParentKeyMeta, ...key }, Data: data };
}

const ASKED = {
  encrypt: (client: PartitionClient) => client.encrypt(HELLO),
  encryptCompact: (client: PartitionClient) => client.encrypt(HELLO, { format: 'compact' }),
  decrypt: (client: PartitionClient) => client.decrypt(COMPACT),
  rewrap: (client: PartitionClient) => client.rewrap(RECORD),
  rewrapCompact: (client: PartitionClient) => client.rewrap(COMPACT),
  decryptBatch: (client: PartitionClient) => client.decryptBatch([COMPACT, COMPACT]),
  encryptFields: (client: PartitionClient) => client.encryptFields({ documentText: '{}', fields: ['$'] }),
};

describe('the client', () => {
  it.for<[keyof typeof ASKED, string, string, unknown]>([
    ['encrypt', 'null', 'an object', null],
    ['encrypt', 'an array', 'an object', []],
    ['encrypt', 'a string', 'an object', 'text'],
    ['encrypt', 'a compact record', 'an object', { record: COMPACT }],
    ['encrypt', 'null as the record', 'an object', { record: null }],
    ['encrypt', 'an array as the record', 'an object', { record: [RECORD] }],
    ['encrypt', "a record whose key's date is text", 'a record', { record: recordWith({ Created: '2' }) }],
    ['encrypt', "a record whose key's date has a fraction", 'a record', { record: recordWith({ Created: 2.5 }) }],
    ['encrypt', "a record whose key's date is 2^53", 'a record', { record: recordWith({ Created: 2 ** 53 }) }],
    ['encrypt', 'a record whose key is not base64', 'a record', { record: recordWith({ Key: 'not base64' }) }],
    ['encrypt', 'a record whose key is a number', 'a record', { record: recordWith({ Key: 5 }) }],
    ['encrypt', 'a record whose parent key is an array', 'an object', { record: recordWith({ ParentKeyMeta: [] }) }],
    ['encrypt', "a record whose parent key's ID is a number", 'a record', { record: recordWith({}, { KeyId: 5 }) }],
    ['encrypt', "a record whose parent key's date is null", 'a record', { record: recordWith({}, { Created: null }) }],
    ['encrypt', 'a record whose data is not base64', 'a record', { record: recordWith({}, {}, 'not base64') }],
    ['encryptCompact', 'a JSON record', 'a compact record', { record: RECORD }],
    ['encryptCompact', 'a record of an unknown version', 'a compact record', { record: 'kf3.AAEC' }],
    ['encryptCompact', 'a record without content', 'a compact record', { record: 'kf1.' }],
    ['encryptCompact', 'a record with base64 padding', 'a compact record', { record: 'kf1.AA==' }],
    ['encryptCompact', 'text before the record', 'a compact record', { record: 'an kf1.AAEC' }],
    ['decrypt', 'a number as the plaintext', 'a plaintext', { plaintext: 5 }],
    ['decrypt', 'a plaintext that is not base64', 'a plaintext', { plaintext: 'A' }],
    ['rewrap', 'no member "rewrapped"', 'a boolean named rewrapped', { record: RECORD }],
    ['rewrap', 'text as the member "rewrapped"', 'a boolean named rewrapped', { record: RECORD, rewrapped: 'true' }],
    ['rewrap', 'a compact record', 'an object', { record: COMPACT, rewrapped: true }],
    ['rewrapCompact', 'a JSON record', 'a compact record', { record: RECORD, rewrapped: true }],
    ['decryptBatch', 'no results', 'a result for each item', {}],
    ['decryptBatch', 'too few results', 'a result for each item', { results: [{ plaintext: '' }] }],
    [
      'decryptBatch',
      'too many results',
      'a result for each item',
      { results: [{ plaintext: '' }, { plaintext: '' }, { plaintext: '' }] },
    ],
    [
      'decryptBatch',
      'an object as the results',
      'a result for each item',
      { results: { 0: { plaintext: '' }, 1: { plaintext: '' }, length: 2 } },
    ],
    ['decryptBatch', 'a string as a result', 'an object', { results: [{ plaintext: '' }, 'text'] }],
    ['decryptBatch', 'null as a result', 'an object', { results: [{ plaintext: '' }, null] }],
    ['decryptBatch', 'an empty result', 'a plaintext', { results: [{ plaintext: '' }, {}] }],
    ['decryptBatch', 'null as the error of a result', 'an object', { results: [{ plaintext: '' }, { error: null }] }],
    ['encryptFields', 'a document as a value', 'a document', { document: {} }],
    ['encryptFields', 'an object as the text of the document', 'a document', { documentText: {} }],
  ])('throws UnexpectedAnswer if %s receives %s', async ([operation, , what, value]) => {
    const message = `The answer does not hold ${what}.`;
    const error = await failureOf(ASKED[operation](answering(value)));
    expect(error).toMatchObject({ code: 'UnexpectedAnswer', message, retryable: false, requestId: 'r1' });
  });

  it('removes unknown members from the JSON record that it returns', async () => {
    const record = { ...RECORD, Key: { ...RECORD.Key, Further: 1 }, Further: 1 };
    expect(await answering({ record }).encrypt(HELLO)).toEqual(RECORD);
    expect(await answering({ record, rewrapped: false }).rewrap(RECORD)).toEqual({ record: RECORD, rewrapped: false });
  });

  it('returns compact records that start with kf1, kf1j, kf2 or kf2j', async () => {
    for (const record of [COMPACT, 'kf1j.AAEC_-09az', 'kf2.AAEC', 'kf2j.AZ']) {
      expect(await answering({ record, rewrapped: true }).rewrap(COMPACT)).toEqual({ record, rewrapped: true });
    }
  });

  it('returns the error of a failed batch item with its detail and request ID, and says whether a retry may help', async () => {
    const results = [
      { error: { code: 'KmsUnavailable', detail: 'Why.' } },
      { error: { code: 'RecordUnreadable', detail: 5 } },
    ];
    expect(await answering({ results }).decryptBatch([COMPACT, COMPACT])).toEqual([
      expect.objectContaining({ code: 'KmsUnavailable', message: 'Why.', retryable: true, requestId: 'r1' }),
      expect.objectContaining({ code: 'RecordUnreadable', message: 'RecordUnreadable', requestId: 'r1' }),
    ]);
  });

  it('throws an error with the request ID if JavaScript cannot represent the document in the response', async () => {
    for (const [documentText, code, message] of [
      [
        '9007199254740993',
        'InexactNumber',
        'The document contains a number that JavaScript cannot represent exactly. Use documentText instead.',
      ],
      [
        '{"\\\\":1}',
        'InexactName',
        'The document contains a name that JSON.parse may have confused with another. Use documentText instead.',
      ],
      ['{', 'UnexpectedAnswer', 'The document is not JSON.'],
    ] as const) {
      const opening = answering({ documentText }).decryptFields({ document: {}, all: true });
      expect(await failureOf(opening)).toMatchObject({ code, message, retryable: false, requestId: 'r1' });
    }
  });
});
