/** The signature of requests over HTTP, against AWS's published algorithm written down a second time. */
import { createHash, createHmac } from 'node:crypto';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { KeyfoldClient, type HttpTransportOptions } from '../../../src/client/index.ts';
import { requestSigner } from '../../../src/client/sign.ts';
import { failureOf } from '../../support/contract/client-contract.ts';
import { startStub, type StubRequest, type StubServer } from '../../support/stub-server.ts';

const HELLO = Buffer.from('hello');
const IDENTITY = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
let stub: StubServer;

beforeAll(async () => {
  stub = await startStub({ status: 200, body: '{"plaintext":"aGVsbG8="}' });
});
afterAll(() => stub.stop());

/** What a client sent. */
async function sentBy(options: Partial<HttpTransportOptions>, partition = 'tenant-1'): Promise<StubRequest> {
  const client = new KeyfoldClient({ http: { endpoint: stub.url, ...options } });
  await client.partition(partition).decrypt('kf1.x');
  const sent = stub.requests.at(-1);
  if (sent === undefined) throw new Error('nothing came');
  return sent;
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

/** A segment of a path as it is sent, encoded once more. */
function encode(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/**
 * What the `authorization` header must be (IAM's User Guide, "Create a signed AWS API request"), for the headers that the
 * request says are signed.
 */
function signatureOf({ method, path, headers, body }: StubRequest, secret: string): string {
  const [, accessKeyId = '', scope = '', signedHeaders = ''] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+), SignedHeaders=([^,]+), Signature=[0-9a-f]{64}$/.exec(
      headers.authorization ?? '',
    ) ?? [];
  const [date = '', region = '', service = ''] = scope.split('/');
  const canonicalHeaders = signedHeaders.split(';').map((name) => `${name}:${String(headers[name]).trim()}\n`);
  const canonical = [
    method,
    path.split('/').map(encode).join('/'),
    '',
    canonicalHeaders.join(''),
    signedHeaders,
    sha256(body),
  ].join('\n');
  const toSign = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha256(canonical)].join('\n');
  const key = [region, service, 'aws4_request'].reduce(hmac, hmac(`AWS4${secret}`, date));
  const signature = hmac(key, toSign).toString('hex');
  return `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
}

it.for(['tenant-1', 'a.b_c~d-e', 'user@example.com', 'A'.repeat(128)])(
  'the signature is what AWS computes, for the partition %.20s',
  async (partition) => {
    const sent = await sentBy({ region: 'eu-west-1', credentials: IDENTITY }, partition);
    expect(sent.path).toBe(`/v1/partitions/${partition}/decrypt`);
    expect(sent.headers.authorization).toContain('/eu-west-1/execute-api/aws4_request,');
    expect(sent.headers.authorization).toMatch(/SignedHeaders=content-type;host;[^,]*x-amz-date[,;]/);
    expect(sent.headers.authorization).toBe(signatureOf(sent, IDENTITY.secretAccessKey));
  },
);

it('a session of its own credentials is signed too, and a stage is a part of the path', async () => {
  const credentials = () => Promise.resolve({ ...IDENTITY, sessionToken: 'a-token' });
  const sent = await sentBy({ endpoint: `${stub.url}/prod///`, region: 'us-west-2', credentials });
  expect(sent.path).toBe('/prod/v1/partitions/tenant-1/decrypt');
  expect(sent.headers['x-amz-security-token']).toBe('a-token');
  expect(sent.headers.authorization).toContain('x-amz-security-token');
  expect(sent.headers.authorization).toBe(signatureOf(sent, IDENTITY.secretAccessKey));
});

it('credentials are found as the SDK finds them, and asked for anew', async () => {
  const sent = await sentBy({ region: 'us-west-2' });
  expect(sent.headers.authorization).toContain('Credential=local/');
  expect(sent.headers.authorization).toBe(signatureOf(sent, 'local'));
  let asked = 0;
  const credentials = () => Promise.resolve({ ...IDENTITY, accessKeyId: `AKID${(asked += 1)}` });
  const client = new KeyfoldClient({ http: { endpoint: stub.url, region: 'us-west-2', credentials } });
  for (const id of ['AKID1', 'AKID2']) {
    await client.partition('p').decrypt('kf1.x');
    expect(stub.requests.at(-1)?.headers.authorization).toContain(`Credential=${id}/`);
  }
});

it.for([
  [3600, 1],
  [330, 1],
  [270, 2],
  [60, 2],
] as const)('credentials that end in %i s are asked for %i time(s) by two calls', async ([seconds, times]) => {
  let asked = 0;
  const credentials = async () => {
    asked += 1;
    return { ...IDENTITY, expiration: new Date(Date.now() + seconds * 1000) };
  };
  const client = new KeyfoldClient({ http: { endpoint: stub.url, region: 'us-west-2', credentials } }).partition('p');
  await client.decrypt('kf1.x');
  await client.decrypt('kf1.x');
  expect(asked).toBe(times);
});

it('calls at the same time ask for credentials once', async () => {
  const credentials = vi.fn<() => Promise<typeof IDENTITY>>(() =>
    Promise.resolve({ ...IDENTITY, expiration: new Date(Date.now() + 3_600_000) }),
  );
  const client = new KeyfoldClient({ http: { endpoint: stub.url, region: 'us-west-2', credentials } }).partition('p');
  await Promise.all([1, 2, 3].map(() => client.decrypt('kf1.x')));
  expect(credentials.mock.calls).toEqual([[]]);
});

it.for(['http://localhost:9', 'http://127.0.0.1:9', 'http://[::1]:9', 'https://keyfold.example'])(
  'plaintexts may be sent to %s',
  (endpoint) => {
    expect(() => new KeyfoldClient({ http: { endpoint, region: 'us-west-2' } })).not.toThrow();
  },
);

it('a region that is given is signed for, whatever the name of the host', async () => {
  const signer = requestSigner('abc123.execute-api.us-west-2.amazonaws.com', 'eu-west-1', IDENTITY);
  const headers = await signer.sign(new URL('https://keyfold.example/'), {}, '{}');
  expect(headers['authorization']).toContain('/eu-west-1/execute-api/aws4_request');
  expect(headers).not.toHaveProperty('host');
});

it.for([new Error('CANARY'), 'CANARY', undefined])('without credentials (%o) nothing is sent', async (reason) => {
  const sent = stub.requests.length;
  const credentials = (): Promise<never> => Promise.reject(reason);
  const client = new KeyfoldClient({ http: { endpoint: stub.url, region: 'us-west-2', credentials } });
  const error = await failureOf(client.partition('p').encrypt(HELLO));
  expect(error).toMatchObject({ code: 'Unauthenticated', retryable: false });
  expect(error.message).not.toContain('CANARY');
  expect(stub.requests.length).toBe(sent);
});

it('an authorization takes the place of a signature', async () => {
  const sent = await sentBy({ authorization: () => Promise.resolve('Bearer a.b.c') });
  expect(sent.headers.authorization).toBe('Bearer a.b.c');
  expect(sent.headers).not.toHaveProperty('x-amz-date');
  expect(sent.headers).toMatchObject({
    'content-type': 'application/json',
    accept: 'application/json',
    'user-agent': 'keyfold-client',
  });
  const client = new KeyfoldClient({
    http: { endpoint: stub.url, authorization: async () => 'Bearer CANARY\r\nx: y' },
  });
  const error = await client.partition('p').decrypt('kf1.x').catch(String);
  expect(error).toBe('TypeError: http.authorization must return a valid header value.');
});

it.for([
  ['an address without TLS', { endpoint: 'http://keyfold.example', region: 'us-west-2' }, /must start with https/],
  ['an address that is more', { endpoint: 'https://keyfold.example/?a', region: 'us-west-2' }, /must not contain/],
  ['an address with a bare ?', { endpoint: 'https://keyfold.example/?', region: 'us-west-2' }, /must not contain/],
  ['an address with a bare #', { endpoint: 'https://keyfold.example#', region: 'us-west-2' }, /must not contain/],
  ['an address with a user', { endpoint: 'https://x@keyfold.example', region: 'us-west-2' }, /must not contain/],
  ['an address with a password', { endpoint: 'https://:x@keyfold.example', region: 'us-west-2' }, /must not contain/],
  ['no region to sign for', { endpoint: 'https://keyfold.example' }, /region/],
  [
    'two ways to be known',
    { endpoint: 'https://keyfold.example', credentials: IDENTITY, authorization: async () => 'x' },
    /must not have both/,
  ],
] as const)('%s is refused at once', ([, http, message]) => {
  expect(() => new KeyfoldClient({ http })).toThrow(message);
});

it.for([
  ['abc123.execute-api.us-west-2.amazonaws.com', 'us-west-2'],
  ['abc123.execute-api-fips.us-gov-west-1.amazonaws.com', 'us-gov-west-1'],
  ['abc123.execute-api.us-west-2.api.aws', 'us-west-2'],
  ['abc123.execute-api.cn-north-1.amazonaws.com.cn', 'cn-north-1'],
  ['abc123.execute-api.eusc-de-east-1.amazonaws.eu', 'eusc-de-east-1'],
  ['abc123.execute-api.us-iso-east-1.c2s.ic.gov', 'us-iso-east-1'],
  ['abc123.execute-api.us-isob-east-1.sc2s.sgov.gov', 'us-isob-east-1'],
  ['abc123.execute-api.eu-isoe-west-1.cloud.adc-e.uk', 'eu-isoe-west-1'],
  ['abc123.execute-api.us-isof-south-1.csp.hci.ic.gov', 'us-isof-south-1'],
] as const)("requests to API Gateway's own host %s are signed for %s", async ([host, region]) => {
  const signer = requestSigner(host, undefined, IDENTITY);
  const headers = await signer.sign(new URL(`https://${host}/v1/partitions/p/encrypt`), {}, '{}');
  expect(headers['authorization']).toContain(`/${region}/execute-api/aws4_request`);
});

it.for([
  'abc123.execute-api.us-west-2.amazonaws.com.example',
  'abc123.execute-api.us-west-2.amazonaws.com.cn',
  'abc123.execute-api.cn-north-1.amazonaws.com',
  'abc123.execute-api.eusc-de-east-1.amazonaws.com',
  'execute-api.us-west-2.amazonaws.com.attacker.example',
])('a host of another domain has no region of its own: %s', (host) => {
  expect(() => new KeyfoldClient({ http: { endpoint: `https://${host}` } })).toThrow(/region/);
});
