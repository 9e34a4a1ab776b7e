import { LambdaClient } from '@aws-sdk/client-lambda';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { dateOf, secondsOf } from '../../../src/client/errors.ts';
import { KeyfoldClient, type KeyfoldClientOptions, type RetryPolicy } from '../../../src/client/index.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { failureOf } from '../../support/contract/client-contract.ts';
import { startStub, type StubAnswer, type StubServer } from '../../support/stub-server.ts';

const HELLO = Buffer.from('hello');
const CANARY = 'CANARY';
const GOOD: StubAnswer = { status: 200, body: '{"plaintext":"aGVsbG8="}' };
const QUICK: Partial<RetryPolicy> = { baseDelayMs: 5 };
/**
 * Short timeouts, for use only with stubs that never respond. On a busy machine, any other stub might respond too late.
 */
const IMPATIENT: Partial<RetryPolicy> = { ...QUICK, attemptTimeoutMs: 1000 };
let stub: StubServer | undefined;

afterEach(async () => {
  await stub?.stop();
  stub = undefined;
});

/**
 * Starts a stub server and makes a client for it. The server sends these responses in order, and repeats the last one.
 */
async function clientOf(
  way: 'HTTP' | 'Lambda',
  answers: readonly StubAnswer[],
  retry: Partial<RetryPolicy> = QUICK,
): Promise<ReturnType<KeyfoldClient['partition']>> {
  stub = await startStub(...answers);
  const options: KeyfoldClientOptions =
    way === 'HTTP'
      ? { http: { endpoint: stub.url, region: 'us-west-2', credentials: LOCAL_CREDENTIALS } }
      : {
          lambda: new LambdaTransport({
            functions: 'keyfold',
            client: new LambdaClient({ endpoint: stub.url, maxAttempts: 1 }),
          }),
        };
  return new KeyfoldClient({ ...options, retry }).partition('p');
}

function problem(status: number, code: string, more: object = {}, headers: Record<string, string> = {}): StubAnswer {
  const body = JSON.stringify({
    type: `urn:keyfold:error:${code}`,
    status,
    code,
    detail: 'Why.',
    requestId: 'r1',
    ...more,
  });
  return { status, headers: { 'content-type': 'application/problem+json', ...headers }, body };
}

function ofLambda(status: number, type: string): StubAnswer & object {
  return { status, headers: { 'x-amzn-errortype': type, 'x-amzn-requestid': 'r1' }, body: '{"Message":"no"}' };
}

function functionError(errorType: string): StubAnswer {
  const headers = { 'x-amz-function-error': 'Unhandled', 'x-amzn-requestid': 'r1' };
  return { status: 200, headers, body: JSON.stringify({ errorType, errorMessage: 'Why.', trace: [] }) };
}

const page: StubAnswer = { status: 502, headers: { 'content-type': 'text/html' }, body: `<html>${CANARY}</html>` };
const busy: StubAnswer = { status: 429, body: '{"message":"Too Many Requests"}' };

describe('a client', () => {
  it.for([
    ['HTTP', 'a KMS outage', problem(503, 'KmsUnavailable')],
    ['HTTP', "a gateway's throttling", busy],
    ['HTTP', 'an HTML page from a proxy', page],
    ['HTTP', "a gateway's error", { status: 500, body: '{"message":"Internal Server Error"}' }],
    ['HTTP', 'a request timeout (408)', { status: 408, body: '{}' }],
    ['HTTP', 'the status 425 Too Early', { status: 425, body: '' }],
    ['HTTP', 'a timeout of the gateway', { status: 504, body: '{"message":"Endpoint request timed out"}' }],
    ['HTTP', 'a retryable code that this version does not know', problem(503, 'MoonUnavailable')],
    ['HTTP', 'a connection that is reset', 'reset'],
    ['HTTP', 'a connection that ends before the response is complete', 'stall'],
    ['HTTP', 'no response', 'hang'],
    ['Lambda', 'a KMS outage', functionError('KmsUnavailable')],
    ['Lambda', "Lambda's throttling", ofLambda(429, 'TooManyRequestsException')],
    ['Lambda', 'a Lambda failure', ofLambda(500, 'ServiceException')],
    ['Lambda', 'a timeout while mounting a file system', ofLambda(408, 'EFSMountTimeoutException')],
    ['Lambda', 'a file system that fails', ofLambda(410, 'EFSIOException')],
    ['Lambda', 'an update of the function', ofLambda(409, 'ResourceConflictException')],
    ['Lambda', 'a function that is not ready', ofLambda(502, 'ResourceNotReadyException')],
    ['Lambda', 'a snapshot that is not ready', ofLambda(409, 'SnapStartNotReadyException')],
    ['Lambda', "EC2's throttling", ofLambda(502, 'EC2ThrottledException')],
    ['Lambda', 'a temporarily full subnet', ofLambda(502, 'SubnetIPAddressLimitReachedException')],
    ['Lambda', 'an HTML page from a proxy', page],
    ['Lambda', 'a timeout of the function', functionError('Sandbox.Timedout')],
    ['Lambda', 'a connection that is reset', 'reset'],
    ['Lambda', 'a connection that ends before the response is complete', 'stall'],
    ['Lambda', 'no response', 'hang'],
  ] as const)('retries over %s after %s', async ([way, , fault]) => {
    const client = await clientOf(way, [fault, fault, GOOD], fault === 'hang' ? IMPATIENT : QUICK);
    expect(await client.decrypt('kf1.x')).toEqual(new Uint8Array(HELLO));
    expect(stub?.requests.length).toBe(3);
    // Each attempt must send the same request, except for its signature.
    expect(new Set(stub?.requests.map(({ body }) => body)).size).toBe(1);
  });

  it.for([
    ['HTTP', 'a bad request', problem(400, 'InvalidRequest'), 'KeyfoldServiceError', 'InvalidRequest', 'Why.'],
    ['HTTP', 'an internal error of Keyfold', problem(500, 'Internal'), 'KeyfoldServiceError', 'Internal', 'Why.'],
    [
      'HTTP',
      "an authorizer's 401",
      { status: 401, body: '{"message":"Unauthorized"}' },
      'KeyfoldTransportError',
      'Unauthenticated',
      'The API answered with status 401.',
    ],
    [
      'HTTP',
      "IAM's 403",
      { status: 403, body: '{"message":"Forbidden"}' },
      'KeyfoldTransportError',
      'Forbidden',
      'The API answered with status 403.',
    ],
    [
      'HTTP',
      'an unknown method (501)',
      { status: 501, body: '' },
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The API answered with status 501.',
    ],
    [
      'HTTP',
      'a network that requires a login (511)',
      { status: 511, body: '' },
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The API answered with status 511.',
    ],
    [
      'HTTP',
      'an unknown path',
      { status: 404, body: '{"message":"Not Found"}' },
      'KeyfoldTransportError',
      'NotFound',
      'The API answered with status 404.',
    ],
    [
      'HTTP',
      "a gateway's 413",
      { status: 413, body: '{"message":"no"}' },
      'KeyfoldTransportError',
      'PayloadTooLarge',
      'The API answered with status 413.',
    ],
    [
      'HTTP',
      'an unknown code',
      problem(422, 'MoonRequired'),
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The API answered with status 422.',
    ],
    [
      'HTTP',
      'a redirect',
      { status: 307, headers: { location: 'http://127.0.0.1:9/' }, body: '' },
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The API answered with status 307.',
    ],
    [
      'HTTP',
      'an HTML page as the response',
      { status: 200, body: `<html>${CANARY}` },
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The API did not answer with JSON.',
    ],
    [
      'HTTP',
      'an unexpected response',
      { status: 200, body: `{"text":"${CANARY}"}` },
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The answer does not hold a plaintext.',
    ],
    [
      'HTTP',
      'a plaintext that is not base64',
      { status: 200, body: `{"plaintext":"${CANARY}"}` },
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The answer does not hold a plaintext.',
    ],
    [
      'HTTP',
      'a null response',
      { status: 200, body: 'null' },
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The answer does not hold an object.',
    ],
    ['Lambda', 'a bad request', functionError('InvalidRequest'), 'KeyfoldServiceError', 'InvalidRequest', 'Why.'],
    [
      'Lambda',
      'a crash of the function',
      functionError('Runtime.ExitError'),
      'KeyfoldTransportError',
      'FunctionFailed',
      'The function failed with Runtime.ExitError.',
    ],
    [
      'Lambda',
      'an unknown function error',
      functionError(`<${CANARY}>`),
      'KeyfoldTransportError',
      'FunctionFailed',
      'The function failed with an unnamed error.',
    ],
    [
      'Lambda',
      'an IAM denial',
      ofLambda(403, 'AccessDeniedException'),
      'KeyfoldTransportError',
      'Forbidden',
      'Lambda (AccessDeniedException) answered with status 403.',
    ],
    [
      'Lambda',
      'a key that is disabled',
      ofLambda(502, 'KMSDisabledException'),
      'KeyfoldTransportError',
      'FunctionFailed',
      'Lambda (KMSDisabledException) answered with status 502.',
    ],
    [
      'Lambda',
      'a broken package',
      ofLambda(502, 'InvalidZipFileException'),
      'KeyfoldTransportError',
      'FunctionFailed',
      'Lambda (InvalidZipFileException) answered with status 502.',
    ],
    [
      'Lambda',
      'a file system that refuses the mount',
      ofLambda(403, 'EFSMountFailureException'),
      'KeyfoldTransportError',
      'FunctionFailed',
      'Lambda (EFSMountFailureException) answered with status 403.',
    ],
    [
      'Lambda',
      'an unknown function',
      ofLambda(404, 'ResourceNotFoundException'),
      'KeyfoldTransportError',
      'NotFound',
      'Lambda (ResourceNotFoundException) answered with status 404.',
    ],
    [
      'Lambda',
      'too large an event',
      ofLambda(413, 'RequestTooLargeException'),
      'KeyfoldTransportError',
      'PayloadTooLarge',
      'Lambda (RequestTooLargeException) answered with status 413.',
    ],
    [
      'Lambda',
      'a response that is not JSON',
      { status: 200, body: CANARY },
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The function did not answer with JSON.',
    ],
    [
      'Lambda',
      'a null response',
      { status: 200, body: 'null' },
      'KeyfoldTransportError',
      'UnexpectedAnswer',
      'The answer does not hold an object.',
    ],
  ] as const)('does not retry over %s after %s', async ([way, , fault, name, code, message]) => {
    const error = await failureOf((await clientOf(way, [fault, GOOD])).decrypt('kf1.x'));
    expect(error).toMatchObject({ name, code, message, retryable: false });
    expect(error.cause).toBeUndefined();
    expect(stub?.requests.length).toBe(1);
  });
});

/** Calls decrypt, and aborts shortly after the request has arrived. Returns the outcome and the number of requests. */
async function leave(
  client: Awaited<ReturnType<typeof clientOf>>,
): Promise<[ended: string, requests: number | undefined]> {
  const controller = new AbortController();
  const call = client.decrypt('kf1.x', { signal: controller.signal }).then(
    () => 'answered',
    (error: Error) => error.message,
  );
  await vi.waitUntil(() => stub?.requests.length === 1, { timeout: 10_000 });
  setTimeout(() => controller.abort(new Error('gone')), 50);
  return [await call, stub?.requests.length];
}

describe('the retry policy', () => {
  it("waits at least as long as the service's retry-after header says", async () => {
    const client = await clientOf('HTTP', [problem(503, 'KmsThrottled', {}, { 'retry-after': '1' }), GOOD]);
    await client.decrypt('kf1.x');
    const [first, second] = (stub?.requests ?? []).map(({ atMs }) => atMs);
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(990);
  });

  it('ends the call at once if the retry-after delay exceeds the total timeout', async () => {
    const asked = problem(503, 'KmsThrottled', {}, { 'retry-after': '60' });
    const error = await failureOf((await clientOf('HTTP', [asked, GOOD])).decrypt('kf1.x'));
    expect(error).toMatchObject({ code: 'KmsThrottled', retryable: true, retryAfterSeconds: 60, requestId: 'r1' });
    expect(stub?.requests.length).toBe(1);
  });

  it.for([
    ['an IMF date 30 s after the response', 'a delay of 30 s', 'Fri, 27 Nov 2026 10:00:30 GMT', 30],
    ['an RFC 850 date 30 s after the response', 'a delay of 30 s', 'Friday, 27-Nov-26 10:00:30 GMT', 30],
    ['an asctime date 30 s after the response', 'a delay of 30 s', 'Fri Nov 27 10:00:30 2026', 30],
    ['a date in the past', 'a delay of 0 s', 'Fri, 27 Nov 2026 09:00:00 GMT', 0],
    ['text that is neither a date nor a number', 'no delay', 'soon', undefined],
    ['a huge number of seconds', 'a delay of 999,999,999 s', '9'.repeat(400), 999_999_999],
    ['a negative number', 'no delay', '-5', undefined],
    ['a number with a fraction', 'no delay', '1.5', undefined],
    ['a number with a unit', 'no delay', '5s', undefined],
  ] as const)('reads a retry-after header with %s as %s', async ([, , retryAfter, retryAfterSeconds]) => {
    const headers = { date: 'Fri, 27 Nov 2026 10:00:00 GMT', 'retry-after': retryAfter };
    for (const way of ['HTTP', 'Lambda'] as const) {
      const ofService = { ...ofLambda(503, 'ServiceException'), headers };
      const answer = way === 'HTTP' ? problem(503, 'KmsThrottled', {}, headers) : ofService;
      const error = await failureOf((await clientOf(way, [answer], { ...QUICK, maxAttempts: 1 })).decrypt('kf1.x'));
      expect(error).toMatchObject({ retryable: true, retryAfterSeconds });
      await stub?.stop();
    }
  });

  it('reads a date in a retry-after header on every day of the week', () => {
    for (const [i, day] of ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'].entries()) {
      expect(dateOf(`${day}, ${23 + i} Nov 2026 10:00:00 GMT`)).toBe(Date.UTC(2026, 10, 23 + i, 10));
    }
    expect(dateOf('Fri, 99 Nov 2026 10:00:00 GMT')).toBeUndefined();
  });

  it("compares a date in a retry-after header with this machine's clock if the response has no date", () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.UTC(2026, 10, 27, 10, 0, 0, 500) });
    for (const date of [undefined, '', 'today']) {
      expect(secondsOf('Fri, 27 Nov 2026 10:00:30 GMT', date)).toBe(30);
    }
    vi.useRealTimers();
  });

  it.for([ofLambda(429, 'TooManyRequestsException'), ofLambda(503, 'ServiceException')])(
    "does not retry before Lambda's retry-after delay is over",
    async (refused) => {
      const asked = { ...refused, headers: { ...refused.headers, 'retry-after': '60' } };
      const error = await failureOf((await clientOf('Lambda', [asked, GOOD])).decrypt('kf1.x'));
      expect(error).toMatchObject({ retryable: true, retryAfterSeconds: 60, requestId: 'r1' });
      expect(stub?.requests.length).toBe(1);
    },
  );

  it('allows at most maxAttempts attempts', async () => {
    const client = await clientOf('HTTP', [busy], { ...QUICK, maxAttempts: 3 });
    expect(await failureOf(client.decrypt('kf1.x'))).toMatchObject({ code: 'Throttled', retryable: true });
    expect(stub?.requests.length).toBe(3);
  });

  it.for(['HTTP', 'Lambda'] as const)('ends a call over %s when the total timeout has passed', async (way) => {
    const client = await clientOf(way, ['hang'], { ...IMPATIENT, totalTimeoutMs: 1500, maxAttempts: 100 });
    expect(await failureOf(client.decrypt('kf1.x'))).toMatchObject({ code: 'TimedOut', retryable: true });
    expect(stub?.requests.length).toBeLessThanOrEqual(2);
  });

  it.for(['HTTP', 'Lambda'] as const)('ends an attempt over %s when the caller aborts', async (way) => {
    const client = await clientOf(way, ['hang'], { attemptTimeoutMs: 10_000 });
    expect(await leave(client)).toEqual(['gone', 1]);
  });

  it.for([
    ['Infinity', Infinity],
    ['2 ** 32 milliseconds', 2 ** 32],
  ] as const)('accepts a timeout of %s', async ([, attemptTimeoutMs]) => {
    const client = await clientOf('HTTP', ['hang'], { attemptTimeoutMs, totalTimeoutMs: attemptTimeoutMs });
    expect(await leave(client)).toEqual(['gone', 1]);
  });

  it('uses the default for each undefined value, and rejects NaN and negative numbers', async () => {
    const none = { maxAttempts: undefined, totalTimeoutMs: undefined } as unknown as Partial<RetryPolicy>;
    const client = await clientOf('HTTP', [busy], { ...QUICK, ...none });
    expect(await failureOf(client.decrypt('kf1.x'))).toMatchObject({ code: 'Throttled' });
    expect(stub?.requests.length).toBe(4);
    for (const nonsense of [NaN, -1]) {
      const http = { endpoint: 'http://127.0.0.1:9', region: 'us-west-2', credentials: LOCAL_CREDENTIALS };
      expect(() => new KeyfoldClient({ http, retry: { totalTimeoutMs: nonsense } })).toThrow(
        new TypeError("The retry policy's totalTimeoutMs is not a number of at least 0."),
      );
    }
  });

  it('ends the delay before a retry when the caller aborts', async () => {
    const client = await clientOf('HTTP', [problem(503, 'KmsThrottled', {}, { 'retry-after': '5' })]);
    expect(await leave(client)).toEqual(['gone', 1]);
  });
});

describe('the client', () => {
  const identity = { accessKeyId: 'AKID', secretAccessKey: 'secret' };

  /** Makes a client whose credential provider first fails with this error. */
  async function clientThatFindsNone(
    way: 'HTTP' | 'Lambda',
    fault: object,
  ): Promise<ReturnType<KeyfoldClient['partition']>> {
    stub = await startStub(GOOD);
    let asked = 0;
    const credentials = () =>
      (asked += 1) === 1 ? Promise.reject(Object.assign(new Error(CANARY), fault)) : Promise.resolve(identity);
    const { url: endpoint } = stub;
    const options: KeyfoldClientOptions =
      way === 'HTTP'
        ? { http: { endpoint, region: 'us-west-2', credentials } }
        : {
            lambda: new LambdaTransport({
              functions: 'keyfold',
              client: new LambdaClient({ endpoint, maxAttempts: 1, credentials }),
            }),
          };
    return new KeyfoldClient({ ...options, retry: QUICK }).partition('p');
  }

  it.for([
    ['HTTP', 'was throttled', { name: 'Throttling', $metadata: { httpStatusCode: 400 } }],
    ['HTTP', 'had an internal failure', { name: 'InternalFailure', $metadata: { httpStatusCode: 500 } }],
    ['HTTP', 'lost its connection', { code: 'ECONNRESET' }],
    ['HTTP', 'could not connect', { name: 'CredentialsProviderError', cause: { code: 'ECONNREFUSED' } }],
    ['Lambda', 'was throttled', { name: 'Throttling', $metadata: { httpStatusCode: 400 } }],
    ['Lambda', 'had an internal failure', { name: 'InternalFailure', $metadata: { httpStatusCode: 500 } }],
    ['Lambda', 'timed out', { name: 'TimeoutError' }],
  ] as const)('calls the credential provider again over %s if the provider %s', async ([way, , fault]) => {
    const client = await clientThatFindsNone(way, fault);
    expect(await client.decrypt('kf1.x')).toEqual(new Uint8Array(HELLO));
    expect(stub?.requests.length).toBe(1);
  });

  it.for([
    ['HTTP', 'is denied access', { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } }],
    ['HTTP', 'finds no credentials', { name: 'CredentialsProviderError' }],
    ['Lambda', 'is denied access', { name: 'AccessDenied', $metadata: { httpStatusCode: 403 } }],
    ['Lambda', 'finds no credentials', { name: 'CredentialsProviderError' }],
  ] as const)('throws Unauthenticated over %s if the credential provider %s', async ([way, , fault]) => {
    const error = await failureOf((await clientThatFindsNone(way, fault)).decrypt('kf1.x'));
    const message = `No AWS credentials were found: ${fault.name}.`;
    expect(error).toMatchObject({ code: 'Unauthenticated', message, retryable: false });
    expect(stub?.requests.length).toBe(0);
  });
});

it('the client throws Unreachable if nothing listens at the endpoint', async () => {
  for (const way of ['HTTP', 'Lambda'] as const) {
    const client = await clientOf(way, [GOOD], { ...QUICK, maxAttempts: 2 });
    await stub?.stop();
    const message = `${way === 'HTTP' ? 'The API' : 'Lambda'} could not be reached: ECONNREFUSED.`;
    expect(await failureOf(client.decrypt('kf1.x'))).toMatchObject({ code: 'Unreachable', message, retryable: true });
  }
});

it.for<[string, unknown]>([
  ['undefined', undefined],
  ['null', null],
  ['an array', ['p']],
])('KeyfoldClient.partition throws a TypeError for %s', ([, partition]) => {
  const client = new KeyfoldClient({
    http: { endpoint: 'https://keyfold.example', region: 'us-west-2', credentials: LOCAL_CREDENTIALS },
  });
  expect(() => client.partition(partition as string)).toThrow(
    new TypeError(
      `partition must be a string, not ${partition === undefined || partition === null ? partition : 'another object'}.`,
    ),
  );
});

it('the client returns the error UnexpectedAnswer for a batch item with an unknown error code', async () => {
  const results = [{ error: { code: 'MoonRequired', detail: 'Why.' } }, { plaintext: '' }];
  const client = await clientOf('HTTP', [{ status: 200, body: JSON.stringify({ results }) }]);
  expect(await client.decryptBatch(['kf1.x', 'kf1.y'])).toEqual([
    expect.objectContaining({
      code: 'UnexpectedAnswer',
      message: 'The answer does not hold an error code that this version knows.',
    }) as Error,
    new Uint8Array(),
  ]);
  expect(await failureOf(client.decryptBatch(['kf1.x']))).toMatchObject({ code: 'UnexpectedAnswer' });
});

it('the client rejects a LambdaClient that retries requests itself', async () => {
  const client = new LambdaClient({ endpoint: 'http://127.0.0.1:9' });
  const keyfold = new KeyfoldClient({ lambda: new LambdaTransport({ functions: 'keyfold', client }) });
  await expect(keyfold.partition('p').decrypt('kf1.x')).rejects.toThrow(
    new TypeError('The Keyfold client retries by itself. Make the LambdaClient with maxAttempts: 1.'),
  );
});
