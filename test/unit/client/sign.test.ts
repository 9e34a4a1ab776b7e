/** Compares the signatures of HTTP requests with a second implementation of the algorithm that AWS publishes. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { KeyfoldClient, type HttpTransportOptions } from '../../../src/client/index.ts';
import { defaultCredentials } from '../../../src/client/default-credentials.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { requestSigner } from '../../../src/client/sign.ts';
import { signatureOf } from '../../support/signature.ts';
import { failureOf } from '../../support/contract/client-contract.ts';
import { startStub, type StubRequest, type StubServer } from '../../support/stub-server.ts';

const HELLO = Buffer.from('hello');
const IDENTITY = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' };
const NO_REGION = 'http.region is required, because the host name of http.endpoint does not contain a region.';
let stub: StubServer;

beforeAll(async () => {
  stub = await startStub({ status: 200, body: '{"plaintext":"aGVsbG8="}' });
});
afterAll(() => stub.stop());

/** Returns the request that a client with these options sends. */
async function sentBy(options: Partial<HttpTransportOptions>, partition = 'tenant-1'): Promise<StubRequest> {
  const client = new KeyfoldClient({ http: { endpoint: stub.url, ...options } });
  await client.partition(partition).decrypt('kf1.x');
  const sent = stub.requests.at(-1);
  if (sent === undefined) throw new Error('nothing came');
  return sent;
}

it.for([
  ['a plain name', 'tenant-1'],
  ['a name with punctuation', 'a.b_c~d-e'],
  ['an e-mail address', 'user@example.com'],
  ['a name of the maximum length', 'A'.repeat(128)],
] as const)('the client signs requests as AWS specifies if the partition is %s', async ([, partition]) => {
  const sent = await sentBy({ region: 'eu-west-1', credentials: IDENTITY }, partition);
  expect(sent.path).toBe(`/v1/partitions/${partition}/decrypt`);
  expect(sent.headers.authorization).toContain('/eu-west-1/execute-api/aws4_request,');
  expect(sent.headers.authorization).toMatch(/SignedHeaders=content-type;host;[^,]*x-amz-date[,;]/);
  expect(sent.headers.authorization).toBe(signatureOf(sent, IDENTITY.secretAccessKey));
});

it('the client signs the session token, and a path that begins with a stage', async () => {
  const credentials = () => Promise.resolve({ ...IDENTITY, sessionToken: 'a-token' });
  const sent = await sentBy({ endpoint: `${stub.url}/prod///`, region: 'us-west-2', credentials });
  expect(sent.path).toBe('/prod/v1/partitions/tenant-1/decrypt');
  expect(sent.headers['x-amz-security-token']).toBe('a-token');
  expect(sent.headers.authorization).toContain('x-amz-security-token');
  expect(sent.headers.authorization).toBe(signatureOf(sent, IDENTITY.secretAccessKey));
});

it("the client signs requests with the credentials of the SDK's default chain", async () => {
  const sent = await sentBy({ region: 'us-west-2', credentials: defaultCredentials() });
  expect(sent.headers.authorization).toContain('Credential=local/');
  expect(sent.headers.authorization).toBe(signatureOf(sent, 'local'));
});

it('the client calls a credential provider for each request', async () => {
  let asked = 0;
  const credentials = () => Promise.resolve({ ...IDENTITY, accessKeyId: `AKID${(asked += 1)}` });
  const client = new KeyfoldClient({ http: { endpoint: stub.url, region: 'us-west-2', credentials } });
  for (const id of ['AKID1', 'AKID2']) {
    await client.partition('p').decrypt('kf1.x');
    expect(stub.requests.at(-1)?.headers.authorization).toContain(`Credential=${id}/`);
  }
});

it.for([
  ['once', 3600],
  ['once', 330],
  ['twice', 270],
  ['twice', 60],
] as const)(
  'two requests call the credential provider %s if the credentials expire in %i seconds',
  async ([times, seconds]) => {
    let asked = 0;
    const credentials = async () => {
      asked += 1;
      return { ...IDENTITY, expiration: new Date(Date.now() + seconds * 1000) };
    };
    const client = new KeyfoldClient({ http: { endpoint: stub.url, region: 'us-west-2', credentials } }).partition('p');
    await client.decrypt('kf1.x');
    await client.decrypt('kf1.x');
    expect(asked).toBe(times === 'once' ? 1 : 2);
  },
);

it('concurrent requests call the credential provider once', async () => {
  const credentials = vi.fn<() => Promise<typeof IDENTITY>>(() =>
    Promise.resolve({ ...IDENTITY, expiration: new Date(Date.now() + 3_600_000) }),
  );
  const client = new KeyfoldClient({ http: { endpoint: stub.url, region: 'us-west-2', credentials } }).partition('p');
  await Promise.all([1, 2, 3].map(() => client.decrypt('kf1.x')));
  expect(credentials.mock.calls).toEqual([[]]);
});

it.for(['http://localhost:9', 'http://127.0.0.1:9', 'http://[::1]:9', 'https://keyfold.example'])(
  'the client accepts the endpoint %s',
  (endpoint) => {
    expect(() => new KeyfoldClient({ http: { endpoint, region: 'us-west-2', credentials: IDENTITY } })).not.toThrow();
  },
);

it('the client signs for the region in its options, even if the host name contains another region', async () => {
  const signer = requestSigner('abc123.execute-api.us-west-2.amazonaws.com', 'eu-west-1', IDENTITY);
  const headers = await signer.sign(new URL('https://keyfold.example/'), {}, '{}');
  expect(headers['authorization']).toContain('/eu-west-1/execute-api/aws4_request');
  expect(headers).not.toHaveProperty('host');
});

it.for([
  ['an Error', new Error('CANARY')],
  ['a string', 'CANARY'],
  ['undefined', undefined],
] as const)('the client sends nothing if the credential provider rejects with %s', async ([, reason]) => {
  const sent = stub.requests.length;
  const credentials = (): Promise<never> => Promise.reject(reason);
  const client = new KeyfoldClient({ http: { endpoint: stub.url, region: 'us-west-2', credentials } });
  const error = await failureOf(client.partition('p').encrypt(HELLO));
  const message = 'No AWS credentials were found: Error.';
  expect(error).toMatchObject({ code: 'Unauthenticated', message, retryable: false });
  expect(stub.requests.length).toBe(sent);
});

it.for<[string, unknown]>([
  ['nothing', undefined],
  ['an empty object', {}],
  ['a key ID that is a number', { accessKeyId: 5, secretAccessKey: 's' }],
  ['a key ID with a line feed', { accessKeyId: 'CANARY\n', secretAccessKey: 's' }],
  ['an empty secret', { accessKeyId: 'CANARY', secretAccessKey: '' }],
])('the client sends nothing if the credential provider returns %s', async ([, given]) => {
  const sent = stub.requests.length;
  const credentials = async (): Promise<never> => given as never;
  const client = new KeyfoldClient({ http: { endpoint: stub.url, region: 'us-west-2', credentials } });
  const error = await failureOf(client.partition('p').encrypt(HELLO));
  const message = 'No AWS credentials were found: TypeError.';
  expect(error).toMatchObject({ code: 'Unauthenticated', message, retryable: false });
  expect(stub.requests.length).toBe(sent);
});

it('the client sends the token of the authorization option instead of a signature', async () => {
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

it.for(['', ' x', 'x ', 'a  b', 'a\tb', 'a\nb', 'é', 'a\u007f', 5 as never])(
  'the client refuses %j as a value of the authorization header',
  async (value) => {
    const sent = stub.requests.length;
    const client = new KeyfoldClient({ http: { endpoint: stub.url, authorization: async () => value } });
    await expect(client.partition('p').decrypt('kf1.x')).rejects.toThrow(
      new TypeError('http.authorization must return a valid header value.'),
    );
    expect(stub.requests.length).toBe(sent);
  },
);

it('the client calls the authorization function for each request, and sends the returned value unchanged', async () => {
  let asked = 0;
  const authorization = async (): Promise<string> => `Bearer ! ~ ${(asked += 1)}`;
  const client = new KeyfoldClient({ http: { endpoint: stub.url, authorization } }).partition('p');
  for (const expected of ['Bearer ! ~ 1', 'Bearer ! ~ 2']) {
    await client.decrypt('kf1.x');
    expect(stub.requests.at(-1)?.headers.authorization).toBe(expected);
  }
});

it.for([
  [
    'an endpoint without TLS',
    { endpoint: 'http://keyfold.example', region: 'us-west-2' },
    'http.endpoint must start with https.',
  ],
  [
    'an endpoint with a query',
    { endpoint: 'https://keyfold.example/?a', region: 'us-west-2' },
    'http.endpoint must not contain a query, a fragment or a user name.',
  ],
  [
    'an endpoint that ends with a question mark',
    { endpoint: 'https://keyfold.example/?', region: 'us-west-2' },
    'http.endpoint must not contain a query, a fragment or a user name.',
  ],
  [
    'an endpoint that ends with a number sign',
    { endpoint: 'https://keyfold.example#', region: 'us-west-2' },
    'http.endpoint must not contain a query, a fragment or a user name.',
  ],
  [
    'an endpoint with a user name',
    { endpoint: 'https://x@keyfold.example', region: 'us-west-2' },
    'http.endpoint must not contain a query, a fragment or a user name.',
  ],
  [
    'an endpoint with a password',
    { endpoint: 'https://:x@keyfold.example', region: 'us-west-2' },
    'http.endpoint must not contain a query, a fragment or a user name.',
  ],
  [
    'a custom domain without a region option',
    { endpoint: 'https://keyfold.example', credentials: IDENTITY },
    NO_REGION,
  ],
  [
    'credentials together with an authorization',
    { endpoint: 'https://keyfold.example', credentials: IDENTITY, authorization: async () => 'x' },
    'http must not have both credentials and authorization.',
  ],
] as const)('new KeyfoldClient throws a TypeError for %s', ([, http, message]) => {
  expect(() => new KeyfoldClient({ http })).toThrow(new TypeError(message));
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
] as const)('the client signs requests to %s for the region %s', async ([host, region]) => {
  const signer = requestSigner(host, undefined, IDENTITY);
  const headers = await signer.sign(new URL(`https://${host}/v1/partitions/p/encrypt`), {}, '{}');
  expect(headers['authorization']).toContain(`/${region}/execute-api/aws4_request`);
});

it.for([undefined, 'eu-west-1'])(
  'the client signs requests to a function URL with the service name lambda (region option: %s)',
  async (region) => {
    const host = 'abc123.lambda-url.eu-west-1.on.aws';
    const signer = requestSigner(host, region, IDENTITY);
    const headers = await signer.sign(new URL(`https://${host}/v1/partitions/p/encrypt`), {}, '{}');
    expect(headers['authorization']).toContain('/eu-west-1/lambda/aws4_request');
  },
);

it.for([
  'abc123.lambda-url.us-west-2.on.aws.example',
  'abc123.execute-api.us-west-2.amazonaws.com.example',
  'abc123.execute-api.us-west-2.amazonaws.com.cn',
  'abc123.execute-api.cn-north-1.amazonaws.com',
  'abc123.execute-api.eusc-de-east-1.amazonaws.com',
  'execute-api.us-west-2.amazonaws.com.attacker.example',
])('the client finds no region in the host name %s', (host) => {
  expect(() => new KeyfoldClient({ http: { endpoint: `https://${host}`, credentials: IDENTITY } })).toThrow(
    new TypeError(NO_REGION),
  );
});

it('a LambdaTransport signs calls with the credentials in its options, or with the default credentials of the SDK', async () => {
  vi.stubEnv('AWS_ENDPOINT_URL_LAMBDA', stub.url);
  const keyOf = async (options: object): Promise<string> => {
    const client = new KeyfoldClient({ lambda: new LambdaTransport({ functions: 'keyfold', ...options }) });
    await client.partition('p').decrypt('kf1.x');
    return /Credential=([^/]+)/.exec(stub.requests.at(-1)?.headers.authorization ?? '')?.[1] ?? '';
  };
  const given = { accessKeyId: 'GIVEN', secretAccessKey: 'x' };
  expect([
    await keyOf({ credentials: given }),
    await keyOf({ credentials: async () => given }),
    await keyOf({}),
  ]).toEqual(['GIVEN', 'GIVEN', 'local']);
  vi.unstubAllEnvs();
});

it("the signer corrects its clock only if a signature's time differed from the server's time by at least four minutes", () => {
  vi.useFakeTimers({ toFake: ['Date'], now: 1_700_000_000_000 });
  try {
    const signer = requestSigner('api.example.com', 'us-west-2', IDENTITY);
    const minutes = 60_000;
    const correct = (aheadMs: number, signedOffsetMs: number): unknown[] => [
      signer.correctClock(new Date(Date.now() + aheadMs).toUTCString(), Date.now() + signedOffsetMs),
      signer.clockOffsetMs,
    ];
    expect(correct(4 * minutes - 1000, 0)).toEqual([false, 0]);
    expect(correct(-4 * minutes, 0)).toEqual([true, -4 * minutes]);
    expect(correct(60 * minutes, 0)).toEqual([true, 60 * minutes]);
    // The clock is already corrected, so it does not explain a second refusal.
    expect(correct(60 * minutes, 60 * minutes)).toEqual([false, 60 * minutes]);
    // A request that was signed before the correction is signed again.
    expect(correct(60 * minutes, 0)).toEqual([true, 60 * minutes]);
    // Meanwhile the clock of this machine was set right.
    expect(correct(0, 60 * minutes)).toEqual([true, 0]);
    expect([signer.correctClock(undefined, 0), signer.correctClock('no date', 0)]).toEqual([false, false]);
  } finally {
    vi.useRealTimers();
  }
});
