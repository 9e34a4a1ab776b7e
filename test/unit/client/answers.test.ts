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

describe('for a malformed response, the client', () => {
  it.for<[keyof typeof ASKED, unknown]>([
    ['encrypt', null],
    ['encrypt', []],
    ['encrypt', 'text'],
    ['encrypt', { record: COMPACT }],
    ['encrypt', { record: null }],
    ['encrypt', { record: [RECORD] }],
    ['encrypt', { record: recordWith({ Created: '2' }) }],
    ['encrypt', { record: recordWith({ Created: 2.5 }) }],
    ['encrypt', { record: recordWith({ Key: 'not base64' }) }],
    ['encrypt', { record: recordWith({ Key: 5 }) }],
    ['encrypt', { record: recordWith({ ParentKeyMeta: [] }) }],
    ['encrypt', { record: recordWith({}, { KeyId: 5 }) }],
    ['encrypt', { record: recordWith({}, { Created: null }) }],
    ['encrypt', { record: recordWith({}, {}, 'not base64') }],
    ['encryptCompact', { record: RECORD }],
    ['encryptCompact', { record: 'kf3.AAEC' }],
    ['encryptCompact', { record: 'kf1.' }],
    ['encryptCompact', { record: 'kf1.AA==' }],
    ['encryptCompact', { record: 'an kf1.AAEC' }],
    ['decrypt', { plaintext: 5 }],
    ['decrypt', { plaintext: 'A' }],
    ['rewrap', { record: RECORD }],
    ['rewrap', { record: RECORD, rewrapped: 'true' }],
    ['rewrap', { record: COMPACT, rewrapped: true }],
    ['rewrapCompact', { record: RECORD, rewrapped: true }],
    ['decryptBatch', {}],
    ['decryptBatch', { results: [{ plaintext: '' }] }],
    ['decryptBatch', { results: [{ plaintext: '' }, { plaintext: '' }, { plaintext: '' }] }],
    ['decryptBatch', { results: { 0: { plaintext: '' }, 1: { plaintext: '' }, length: 2 } }],
    ['decryptBatch', { results: [{ plaintext: '' }, 'text'] }],
    ['decryptBatch', { results: [{ plaintext: '' }, {}] }],
    ['decryptBatch', { results: [{ plaintext: '' }, { error: null }] }],
    ['encryptFields', { document: {} }],
    ['encryptFields', { documentText: {} }],
  ])('throws UnexpectedAnswer with the request ID (%s returns %j)', async ([operation, value]) => {
    const error = await failureOf(ASKED[operation](answering(value)));
    expect(error).toMatchObject({ code: 'UnexpectedAnswer', retryable: false, requestId: 'r1' });
  });
});

describe('the client', () => {
  it('returns a JSON record without members that it does not recognise', async () => {
    const record = { ...RECORD, Key: { ...RECORD.Key, Further: 1 }, Further: 1 };
    expect(await answering({ record }).encrypt(HELLO)).toEqual(RECORD);
    expect(await answering({ record, rewrapped: false }).rewrap(RECORD)).toEqual({ record: RECORD, rewrapped: false });
  });

  it('returns compact records that start with kf1 or kf1j', async () => {
    for (const record of [COMPACT, 'kf1j.AAEC_-09az']) {
      expect(await answering({ record, rewrapped: true }).rewrap(COMPACT)).toEqual({ record, rewrapped: true });
    }
  });

  it("returns a failed batch item's error with its detail, its request ID, and whether it is retryable", async () => {
    const results = [
      { error: { code: 'KmsUnavailable', detail: 'Why.' } },
      { error: { code: 'RecordUnreadable', detail: 5 } },
    ];
    expect(await answering({ results }).decryptBatch([COMPACT, COMPACT])).toEqual([
      expect.objectContaining({ code: 'KmsUnavailable', message: 'Why.', retryable: true, requestId: 'r1' }),
      expect.objectContaining({ code: 'RecordUnreadable', message: 'RecordUnreadable', requestId: 'r1' }),
    ]);
  });

  it('throws an error with the request ID if it cannot represent a document', async () => {
    for (const [documentText, code] of [
      ['9007199254740993', 'InexactNumber'],
      ['{"\\\\":1}', 'InexactName'],
      ['{', 'UnexpectedAnswer'],
    ] as const) {
      const opening = answering({ documentText }).decryptFields({ document: {}, all: true });
      expect(await failureOf(opening)).toMatchObject({ code, retryable: false, requestId: 'r1' });
    }
  });
});
