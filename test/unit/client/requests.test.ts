/** Tests the whole request of each operation, over HTTP and to Lambda. */
import type { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KeyfoldClient, type PartitionClient } from '../../../src/client/index.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { startStub, type StubRequest, type StubServer } from '../../support/stub-server.ts';

const HELLO = Buffer.from('hello');
const plaintext = 'aGVsbG8=';
const RECORD = {
  Key: { Created: 2, Key: 'AAEC', ParentKeyMeta: { KeyId: '_IK_p_s_p', Created: 1 } },
  Proof: 'BgcI',
  Data: 'AwQF',
};
const COMPACT = 'kf1.AAEC';
const context = { table: 'users', id: '42' };
const path = "$['card']";
const format = 'compact';
const binding = { context, contextFrom: { row: '$.row' }, bindPath: 'exact' } as const;
const bytes = new Uint8Array(HELLO);

type Row = readonly [
  title: string,
  call: (client: PartitionClient, options: { readonly signal: AbortSignal }) => Promise<unknown>,
  operation: string,
  members: object,
  answer: object,
  result: unknown,
];

const ROWS: readonly Row[] = [
  ['encrypt', (p, options) => p.encrypt(HELLO, options), 'encrypt', { plaintext }, { record: RECORD }, RECORD],
  [
    'encrypt with every option',
    (p, options) => p.encrypt(HELLO, { ...options, format, context }),
    'encrypt',
    { plaintext, format, context },
    { record: COMPACT },
    COMPACT,
  ],
  ['decrypt', (p, options) => p.decrypt(RECORD, options), 'decrypt', { record: RECORD }, { plaintext }, bytes],
  [
    'decrypt with every option',
    (p, options) => p.decrypt(COMPACT, { ...options, context, path }),
    'decrypt',
    { record: COMPACT, path, context },
    { plaintext },
    bytes,
  ],
  [
    'rewrap',
    (p, options) => p.rewrap(RECORD, options),
    'rewrap',
    { record: RECORD },
    { record: RECORD, rewrapped: false },
    { record: RECORD, rewrapped: false },
  ],
  [
    'rewrap with every option',
    (p, options) => p.rewrap(RECORD, { ...options, format }),
    'rewrap',
    { record: RECORD, format },
    { record: COMPACT, rewrapped: true },
    { record: COMPACT, rewrapped: true },
  ],
  [
    'encryptBatch',
    (p, options) => p.encryptBatch([HELLO, { plaintext: HELLO, context }], options),
    'encrypt-batch',
    { items: [{ plaintext }, { plaintext, context }] },
    { results: [{ record: RECORD }, { record: RECORD }] },
    [RECORD, RECORD],
  ],
  [
    'encryptBatch with every option',
    (p, options) =>
      p.encryptBatch([HELLO, { plaintext: HELLO, context }], { ...options, format, shareDataRowKey: false }),
    'encrypt-batch',
    {
      items: [
        { plaintext, format },
        { plaintext, format, context },
      ],
      shareDataRowKey: false,
    },
    { results: [{ record: COMPACT }, { record: COMPACT }] },
    [COMPACT, COMPACT],
  ],
  [
    'decryptBatch',
    (p, options) => p.decryptBatch([RECORD, COMPACT, { record: RECORD, context, path }, { record: COMPACT }], options),
    'decrypt-batch',
    { items: [{ record: RECORD }, { record: COMPACT }, { record: RECORD, path, context }, { record: COMPACT }] },
    { results: [{ plaintext }, { plaintext: '' }, { plaintext }, { plaintext }] },
    [bytes, new Uint8Array(), bytes, bytes],
  ],
  [
    'rewrapBatch',
    (p, options) => p.rewrapBatch([RECORD, COMPACT], options),
    'rewrap-batch',
    { items: [{ record: RECORD }, { record: COMPACT }] },
    {
      results: [
        { record: RECORD, rewrapped: false },
        { record: COMPACT, rewrapped: true },
      ],
    },
    [
      { record: RECORD, rewrapped: false },
      { record: COMPACT, rewrapped: true },
    ],
  ],
  [
    'rewrapBatch to the compact format',
    (p, options) => p.rewrapBatch([RECORD], { ...options, format }),
    'rewrap-batch',
    { items: [{ record: RECORD, format }] },
    { results: [{ record: COMPACT, rewrapped: true }] },
    [{ record: COMPACT, rewrapped: true }],
  ],
  [
    'encryptFields',
    (p, options) => p.encryptFields({ document: { a: -0 }, fields: ['$.a'] }, options),
    'encrypt-fields',
    { fields: ['$.a'], documentText: '{"a":-0}' },
    { documentText: '{"a":"kf1j.x"}' },
    { a: 'kf1j.x' },
  ],
  [
    'encryptFields with every option',
    (p, options) =>
      p.encryptFields(
        {
          documentText: '{"a": 1.0}',
          fields: ['$.a'],
          allowMissing: true,
          skipSealed: false,
          shareDataRowKey: true,
          ...binding,
        },
        options,
      ),
    'encrypt-fields',
    {
      allowMissing: true,
      bindPath: 'exact',
      skipSealed: false,
      shareDataRowKey: true,
      context,
      contextFrom: { row: '$.row' },
      fields: ['$.a'],
      documentText: '{"a": 1.0}',
    },
    { documentText: '{"a": "kf1j.x"}' },
    '{"a": "kf1j.x"}',
  ],
  [
    'decryptFields',
    (p, options) => p.decryptFields({ document: { a: 'kf1j.x' }, all: true, ...binding }, options),
    'decrypt-fields',
    { bindPath: 'exact', all: true, context, contextFrom: { row: '$.row' }, documentText: '{"a":"kf1j.x"}' },
    { documentText: '{"a":1}' },
    { a: 1 },
  ],
  [
    'decryptFields with paths',
    (p, options) => p.decryptFields({ documentText: '{}', fields: ['$.a', '$.b'], allowMissing: true }, options),
    'decrypt-fields',
    { allowMissing: true, fields: ['$.a', '$.b'], documentText: '{}' },
    { documentText: '{}' },
    '{}',
  ],
];

describe('over HTTP', () => {
  let stub: StubServer;
  beforeAll(async () => {
    const answers = ROWS.map(([, , , , answer]) => ({ status: 200, body: JSON.stringify(answer) }));
    stub = await startStub(...answers);
  });
  afterAll(() => stub.stop());

  it.for(ROWS)('%s sends a signed request with the expected body', async ([, call, operation, members, , result]) => {
    const http = { endpoint: stub.url, region: 'us-west-2', credentials: LOCAL_CREDENTIALS };
    const client = new KeyfoldClient({ http, retry: { maxAttempts: 1 } }).partition('tenant-1');
    const { signal } = new AbortController();
    expect(await call(client, { signal })).toEqual(result);
    const [{ atMs: _, body, ...sent }] = stub.requests.slice(-1) as [StubRequest];
    expect({ ...sent, body: JSON.parse(body) as unknown }).toStrictEqual({
      method: 'POST',
      path: `/v1/partitions/tenant-1/${operation}`,
      headers: {
        accept: 'application/json',
        'user-agent': 'keyfold-client',
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(body)),
        'x-amz-content-sha256': expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
        'x-amz-date': expect.stringMatching(/^\d{8}T\d{6}Z$/) as unknown,
        authorization: expect.stringMatching(
          /^AWS4-HMAC-SHA256 Credential=local\/\d{8}\/us-west-2\/execute-api\/aws4_request, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date, Signature=[0-9a-f]{64}$/,
        ) as unknown,
        host: new URL(stub.url).host,
        connection: 'keep-alive',
      },
      body: members,
    });
  });
});

it.for(ROWS)(
  '%s invokes the function that serves the operation',
  async ([, call, operation, members, answer, result]) => {
    const sent: unknown[] = [];
    const client = {
      config: { serviceId: 'Lambda', maxAttempts: async () => 1, credentials: async () => ({}) },
      send: async ({ input: { Payload, ...input } }: InvokeCommand, { abortSignal }: { abortSignal: AbortSignal }) => {
        sent.push({ ...input, payload: JSON.parse(Buffer.from(Payload as Uint8Array).toString()) as unknown });
        expect(abortSignal).toBeInstanceOf(AbortSignal);
        return { Payload: Buffer.from(JSON.stringify(answer)), $metadata: {} };
      },
    } as unknown as LambdaClient;
    const lambda = new LambdaTransport({ functions: { seal: 'seal', open: 'open' }, client });
    const partition = new KeyfoldClient({ lambda }).partition('a/b');
    const { signal } = new AbortController();
    expect(await call(partition, { signal })).toEqual(result);
    const FunctionName = operation.startsWith('decrypt') ? 'open' : 'seal';
    expect(sent).toStrictEqual([{ FunctionName, payload: { ...members, operation, partition: 'a/b' } }]);
    const reason = new Error('gone');
    await expect(call(partition, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(sent).toHaveLength(1);
  },
);
