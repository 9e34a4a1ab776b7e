/** What the client makes of an answer, whatever stands between it and Keyfold. */
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

/** A client whose service answers so. */
function answering(value: unknown): PartitionClient {
  return new PartitionClient('p', { send: async () => ({ value, requestId: 'r1' }) }, retryPolicy({ maxAttempts: 1 }));
}

/** The record with some members replaced. */
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

describe('an answer that does not hold what was asked for is UnexpectedAnswer, with the id of the request:', () => {
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
    ['encryptCompact', { record: 'kf2.AAEC' }],
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
  ])('%s answered with %j', async ([operation, value]) => {
    const error = await failureOf(ASKED[operation](answering(value)));
    expect(error).toMatchObject({ code: 'UnexpectedAnswer', retryable: false, requestId: 'r1' });
  });
});

describe('an answer', () => {
  it('gives the members of a record that are known, each in its place', async () => {
    const record = { ...RECORD, Key: { ...RECORD.Key, Further: 1 }, Further: 1 };
    expect(await answering({ record }).encrypt(HELLO)).toEqual(RECORD);
    expect(await answering({ record, rewrapped: false }).rewrap(RECORD)).toEqual({ record: RECORD, rewrapped: false });
  });

  it('gives compact records of bytes and of JSON', async () => {
    for (const record of [COMPACT, 'kf1j.AAEC_-09az']) {
      expect(await answering({ record, rewrapped: true }).rewrap(COMPACT)).toEqual({ record, rewrapped: true });
    }
  });

  it("gives an item's failure with its detail, its retryability and the id of the request", async () => {
    const results = [
      { error: { code: 'KmsUnavailable', detail: 'Why.' } },
      { error: { code: 'RecordUnreadable', detail: 5 } },
    ];
    expect(await answering({ results }).decryptBatch([COMPACT, COMPACT])).toEqual([
      expect.objectContaining({ code: 'KmsUnavailable', message: 'Why.', retryable: true, requestId: 'r1' }),
      expect.objectContaining({ code: 'RecordUnreadable', message: 'RecordUnreadable', requestId: 'r1' }),
    ]);
  });

  it('that is a value has the id of its request in its failure', async () => {
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
