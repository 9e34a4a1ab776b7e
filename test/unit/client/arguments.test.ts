import vm from 'node:vm';
import { KMSClient } from '@aws-sdk/client-kms';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { describe, expect, it } from 'vitest';
import { KeyfoldClient, KeyfoldServiceError, KeyfoldTransportError } from '../../../src/client/index.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { errorOf } from '../../support/fakes.ts';
import { detached, outOfBounds } from '../../support/hostile.ts';
import { tenant } from '../../support/public-client.ts';

const HTTP = { endpoint: 'https://keyfold.example', region: 'us-west-2', credentials: LOCAL_CREDENTIALS };

const LAMBDA = new LambdaClient({});

/** Makes a partition client. If one of its methods sends a request, the test fails. */
function unasked(): ReturnType<KeyfoldClient['partition']> {
  const config = { serviceId: 'Lambda', maxAttempts: async () => 1, credentials: async () => ({}) };
  const client = { config, send: () => expect.unreachable() } as unknown as LambdaClient;
  return new KeyfoldClient({ lambda: new LambdaTransport({ functions: 'keyfold', client }) }).partition('p');
}

/** Returns the message of the TypeError that a promise rejects with. */
async function refusalOf(work: Promise<unknown>): Promise<string> {
  const error = await errorOf(work);
  if (error instanceof TypeError) return error.message;
  throw error;
}

describe('PartitionClient', () => {
  it.for([
    ['a string', 'héllo'],
    ['a Uint16Array', new Uint16Array([256, 257])],
    ['a DataView', new DataView(new ArrayBuffer(2))],
    ['an ArrayBuffer', new ArrayBuffer(2)],
    ['a proxy', new Proxy(new Uint8Array(1), {})],
    ['a detached array', detached()],
    ['an array out of bounds', outOfBounds()],
    ['null', null],
  ] as const)('rejects a payload with a TypeError if it is %s', async ([, plaintext]) => {
    expect(await refusalOf(unasked().encrypt(plaintext as never))).toContain('plaintext must be a Uint8Array');
    const batch = [Buffer.from('x'), plaintext] as never;
    expect(await refusalOf(unasked().encryptBatch(batch))).toContain('plaintexts[1] must be a Uint8Array');
  });

  it('encrypts all bytes of an array even if its byteLength property is wrong', async () => {
    const odd = Object.defineProperty(new Uint8Array([1, 2, 255]), 'byteLength', { value: 1 });
    const foreign = vm.runInNewContext('new Uint8Array([1, 2, 255])') as Uint8Array;
    for (const plaintext of [odd, foreign]) {
      expect(await tenant.decrypt(await tenant.encrypt(plaintext))).toEqual(new Uint8Array([1, 2, 255]));
    }
  });

  it('rejects a record with a TypeError if a member has the wrong type', async () => {
    const record = await tenant.encrypt(Buffer.from('x'));
    const parent = record.Key.ParentKeyMeta;
    for (const [name, broken] of [
      ['record must be an object', null],
      ['record.Key must be an object', { Data: record.Data }],
      ['record.Data must be a string', { ...record, Data: Buffer.from('x') }],
      ['record.Key.Key must be a string', { ...record, Key: { ...record.Key, Key: 5 } }],
      [
        'record.Key.ParentKeyMeta.Created must be a number',
        { ...record, Key: { ...record.Key, ParentKeyMeta: { ...parent, Created: '5' } } },
      ],
    ] as const) {
      expect(await refusalOf(unasked().decrypt(broken as never))).toContain(name);
      expect(await refusalOf(unasked().rewrap(broken as never))).toContain(name);
      const batch = [record, broken] as never;
      expect(await refusalOf(unasked().decryptBatch(batch))).toContain(name.replace('record', 'records[1]'));
      expect(await refusalOf(unasked().rewrapBatch(batch))).toContain(name.replace('record', 'records[1]'));
    }
  });

  it('ignores inherited properties of a context, as the library does', async () => {
    const context = Object.assign(Object.create({ inherited: 'x' }) as object, { id: '42' });
    const record = await tenant.encrypt(Buffer.from('x'), { context });
    expect(await tenant.decrypt(record, { context: { id: '42' } })).toEqual(new Uint8Array(Buffer.from('x')));
  });

  it('sends an option whose value is unknown but has the right type, and throws the error of the service', async () => {
    const error = await errorOf(tenant.encrypt(Buffer.from('x'), { format: 'json' as never }));
    expect(error).toBeInstanceOf(KeyfoldServiceError);
    expect(error).toMatchObject({ code: 'InvalidRequest' });
  });

  it('rejects a value of the wrong type and an unknown option, and names the item and the member', async () => {
    const [client, payload, context] = [unasked(), Buffer.from('x'), { id: 5 } as never];
    const record = { Key: {}, Data: 5 } as never;
    const document = { document: {}, fields: [] };
    expect(
      await Promise.all(
        [
          client.encrypt(payload, { context }),
          client.decrypt('kf1.x', { context }),
          client.encrypt(payload, { context: 'id' as never }),
          client.encrypt(payload, { format: 5 as never }),
          client.decrypt('kf1.x', { path: 5 as never }),
          client.decrypt('kf1.x', { context: 'id' as never }),
          client.encryptBatch([payload, { plaintext: payload, context }]),
          client.encryptBatch([{ plaintext: 'x' as never }]),
          client.encryptBatch([{ plaintext: payload, context: 'id' as never }]),
          client.encryptBatch([payload], { shareDataRowKey: 'no' as never }),
          client.decryptBatch(['kf1.x', { record: 'kf1.x', context }]),
          client.decryptBatch([{ record }]),
          client.decryptBatch([{ record: 'kf1.x', context: 'id' as never }]),
          client.decryptBatch([{ record: 'kf1.x', path: 5 as never }]),
          client.decryptBatch([{ record: 'kf1.x', paht: '$' } as never]),
          client.rewrap('kf1.x', { context } as never),
          client.rewrapBatch(['kf1.x', record]),
          client.encryptFields({ ...document, context }),
          client.decryptFields({ ...document, contextFrom: context }),
          client.encryptFields({ ...document, bindPath: 'some' as never }),
          client.encryptFields({ ...document, skipSealed: 'no' as never }),
          client.encryptFields({ ...document, shareDataRowKey: 1 as never }),
          client.decryptFields({ document: {}, all: 'yes' as never }),
        ].map(refusalOf),
      ),
    ).toEqual([
      'options.context.id must be a string, not a number.',
      'options.context.id must be a string, not a number.',
      'options.context must be an object, not a string.',
      'options.format must be a string, not a number.',
      'options.path must be a string, not a number.',
      'options.context must be an object, not a string.',
      'plaintexts[1].context.id must be a string, not a number.',
      'plaintexts[0].plaintext must be a Uint8Array whose buffer is not detached, not a string.',
      'plaintexts[0].context must be an object, not a string.',
      'options.shareDataRowKey must be a boolean, not a string.',
      'records[1].context.id must be a string, not a number.',
      'records[0].record.Data must be a string, not a number.',
      'records[0].context must be an object, not a string.',
      'records[0].path must be a string, not a number.',
      'records[0] has no option paht. Its options are record, context, path.',
      'options has no option context. Its options are signal, format.',
      'records[1].Data must be a string, not a number.',
      'request.context.id must be a string, not a number.',
      'request.contextFrom.id must be a string, not a number.',
      "request.bindPath must be 'exact' or 'none', not a string.",
      'request.skipSealed must be a boolean, not a string.',
      'request.shareDataRowKey must be a boolean, not a number.',
      'request.all must be a boolean, not a string.',
    ]);
  });

  it('rejects with a TypeError if a batch is not an array', async () => {
    expect(await refusalOf(unasked().encryptBatch(Buffer.from('x') as never))).toContain('plaintexts must be an array');
    expect(await refusalOf(unasked().decryptBatch('kf1.x' as never))).toContain('records must be an array');
    // The client must not read a huge array-like object item by item.
    const sparse = Array.from({ length: 1 }, () => 'kf1.x');
    sparse.length = 2 ** 32 - 1;
    expect(await refusalOf(unasked().rewrapBatch(sparse))).toContain('records[1] must be an object');
  });

  it.for<[string, unknown]>([
    ['request must be an object', 'text'],
    ['request must have one of document and documentText', { fields: [] }],
    ['request must have one of document and documentText', { document: {}, documentText: '{}', fields: [] }],
    ['request.documentText must be a string', { documentText: {}, fields: [] }],
    ['request.fields must be an array', { document: {}, fields: '$.card' }],
    ['request.fields[0] must be a string', { document: {}, fields: [5] }],
    ['request.allowMissing must be a boolean', { document: {}, fields: [], allowMissing: 'no' }],
    ['request has no option field', { document: {}, fields: [], field: '$.card' }],
    ['request.document has no JSON form', { document: 5n, fields: [] }],
    ['request.document has no JSON form', { document: () => {}, fields: [] }],
  ])('rejects an invalid request with the TypeError "%s"', async ([name, request]) => {
    expect(await refusalOf(unasked().encryptFields(request as never))).toContain(name);
    expect(await refusalOf(unasked().decryptFields(request as never))).toContain(name);
  });

  it.for<[string, unknown]>([
    ['options must be an object', null],
    ['options must be an object', new AbortController().signal],
    ['options.signal must be an AbortSignal', { signal: new AbortController() }],
    ['options has no option formt', { formt: 'compact' }],
  ])('rejects invalid options with the TypeError "%s"', async ([name, options]) => {
    expect(await refusalOf(unasked().encrypt(Buffer.from('x'), options as never))).toContain(name);
    expect(await refusalOf(unasked().decrypt('kf1.x', options as never))).toContain(name);
    expect(await refusalOf(unasked().decryptFields({ document: {}, all: true }, options as never))).toContain(name);
  });
});

describe('new LambdaTransport', () => {
  it.for<[string, unknown]>([
    ['options must be an object', 'keyfold'],
    ['options.functions must be', {}],
    ['options.functions.open must be the name or the ARN of a function', { functions: { seal: 'f' } }],
    ...[
      '',
      ' ',
      'a b',
      'f\n',
      'f/g',
      ':',
      'f:g:h',
      'f'.repeat(141),
      `f:${'a'.repeat(129)}`,
      'arn:aws:sqs:us-west-2:111122223333:keyfold',
    ].map((functions): [string, unknown] => [
      'options.functions must be the name or the ARN of a function',
      { functions },
    ]),
    ['options.functions.open must be the name or the ARN', { functions: { seal: 'f', open: '' } }],
    ['options.client must be a LambdaClient', { functions: 'f', client: { send: () => {} } }],
    ['options.client must be a LambdaClient', { functions: 'f', client: new KMSClient({}) }],
    ['options.credentials must be credentials', { functions: 'f', credentials: {} }],
    ['options must not have both client and credentials', { functions: 'f', client: LAMBDA, credentials: () => {} }],
  ])('throws the TypeError "%s"', ([message, options]) => {
    expect(() => new LambdaTransport(options as never)).toThrow(TypeError);
    expect(() => new LambdaTransport(options as never)).toThrow(message);
  });
});

it.for([
  'keyfold',
  'keyfold:live',
  'keyfold:$LATEST',
  'keyfold:7',
  'function:keyfold',
  '111122223333:function:keyfold:live',
  'arn:aws:lambda:us-west-2:111122223333:function:keyfold',
  'arn:aws-us-gov:lambda:us-gov-west-1:111122223333:function:keyfold:live',
  'arn:aws-eusc:lambda:eusc-de-east-1:111122223333:function:keyfold:live',
  'us-west-2:111122223333:function:keyfold',
  `${'f'.repeat(140)}:${'a'.repeat(128)}`,
])('LambdaTransport accepts the function name %s', (functions) => {
  expect(() => new LambdaTransport({ functions })).not.toThrow();
});

describe('new KeyfoldClient', () => {
  it.for<readonly [string, unknown]>([
    ['options must be an object', undefined],
    ['options must have one of lambda and http', {}],
    ['options must have one of lambda and http', { http: HTTP, lambda: new LambdaTransport({ functions: 'f' }) }],
    ['options has no option retries', { http: HTTP, retries: {} }],
    ['retry.maxAttempts must be a number', { http: HTTP, retry: { maxAttempts: '4' } }],
    ['retry has no option attempts', { http: HTTP, retry: { attempts: 4 } }],
    ['http.endpoint must be a string', { http: { ...HTTP, endpoint: new URL(HTTP.endpoint) } }],
    ['http.endpoint must be a URL', { http: { ...HTTP, endpoint: 'keyfold.example' } }],
    ...[
      'https://keyfold.example ',
      '\thttps://keyfold.example',
      'https://keyfold.example\n',
      'https://key fold.example',
      'https://keyfold.example\0',
      '\u001bhttps://keyfold.example',
    ].map((endpoint) => ['http.endpoint must be a URL', { http: { ...HTTP, endpoint } }] as const),
    ...['', 'us west', 'us-west-2\n', 'é', '-', 'us-west'].map(
      (region) => ['http.region must be the name of an AWS region', { http: { ...HTTP, region } }] as const,
    ),
    ...[
      { accessKeyId: '', secretAccessKey: 's' },
      { accessKeyId: 'a\nb', secretAccessKey: 's' },
      { accessKeyId: 'a', secretAccessKey: '' },
      { accessKeyId: 'a', secretAccessKey: 's\n' },
      { accessKeyId: 'a', secretAccessKey: 's', sessionToken: 'é' },
    ].map((credentials) => ['http.credentials must be', { http: { ...HTTP, credentials } }] as const),
    ['http.credentials must be', { http: { ...HTTP, credentials: { accessKeyId: 'a' } } }],
    ['http.authorization must be a function', { http: { ...HTTP, credentials: undefined, authorization: 'Bearer x' } }],
    ['http must have credentials or authorization', { http: { endpoint: HTTP.endpoint, region: 'us-west-2' } }],
    ['options.lambda must be a LambdaTransport', { lambda: { functions: 'f' } }],
  ])('throws the TypeError "%s"', ([message, options]) => {
    expect(() => new KeyfoldClient(options as never)).toThrow(TypeError);
    expect(() => new KeyfoldClient(options as never)).toThrow(message);
  });

  it('makes a client that throws a TypeError if the authorization function returns anything but a string', async () => {
    const http = { endpoint: HTTP.endpoint, authorization: async () => undefined as never };
    const client = new KeyfoldClient({ http });
    expect(await refusalOf(client.partition('p').decrypt('kf1.x'))).toContain('http.authorization');
  });
});

it.for<[message: string, create: () => unknown]>([
  ['code must be an ErrorCode, not a string.', () => new KeyfoldServiceError('Unreachable' as never, 'x')],
  ['code must be an ErrorCode, not a string.', () => new KeyfoldServiceError('toString' as never, 'x')],
  ['message must be a string, not a number.', () => new KeyfoldServiceError('Internal', 5 as never)],
  ['code must be a TransportErrorCode, not a string.', () => new KeyfoldTransportError('Internal' as never, 'x')],
  ['code must be a TransportErrorCode, not a string.', () => new KeyfoldTransportError('toString' as never, 'x')],
  [
    'code must be a TransportErrorCode, not another object.',
    () => new KeyfoldTransportError(['Forbidden'] as never, 'x'),
  ],
  ['message must be a string, not a number.', () => new KeyfoldTransportError('Forbidden', 5 as never)],
])('the constructor of a client\'s error throws the TypeError "%s"', ([message, create]) => {
  expect(create).toThrow(new TypeError(message));
});

it('KeyfoldClient throws a TypeError if the partition is not a string', () => {
  const client = new KeyfoldClient({ http: HTTP });
  expect(() => client.partition(5 as never)).toThrow(new TypeError('partition must be a string, not a number.'));
});
