/** Tests requests that AWS rejects because the caller's clock is wrong or the credentials have expired. */
import { LambdaClient } from '@aws-sdk/client-lambda';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { clockRefusal } from '../../../src/client/errors.ts';
import { KeyfoldClient, type KeyfoldClientOptions } from '../../../src/client/index.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { failureOf } from '../../support/contract/client-contract.ts';
import { startStub, type AnswerOf, type StubAnswer, type StubServer } from '../../support/stub-server.ts';

const HOUR_MS = 3_600_000;
const HELLO = Buffer.from('hello');
const IDENTITY = { accessKeyId: 'AKID', secretAccessKey: 'secret' };
let stub: StubServer;

afterEach(async () => {
  vi.useRealTimers();
  await stub.stop();
});

/** Makes the response of a server whose clock is ahead of this machine's clock by `aheadMs`. */
function at(aheadMs: number, answer: Exclude<StubAnswer, string>): StubAnswer {
  return { ...answer, headers: { ...answer.headers, date: new Date(Date.now() + aheadMs).toUTCString() } };
}

const FORBIDDEN = { status: 403, body: '{"message":"Forbidden"}' };
const good = { status: 200, body: '{"plaintext":"aGVsbG8="}' };

function refused(errorType: string, message: string): Exclude<StubAnswer, string> {
  return { status: 403, headers: { 'x-amzn-errortype': errorType }, body: JSON.stringify({ message }) };
}

async function clientOf(
  way: 'HTTP' | 'Lambda',
  answers: readonly AnswerOf[],
  credentials: () => Promise<typeof IDENTITY> = () => Promise.resolve(IDENTITY),
): Promise<ReturnType<KeyfoldClient['partition']>> {
  stub = await startStub(...answers);
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
  return new KeyfoldClient({ ...options, retry: { maxAttempts: 1 } }).partition('p');
}

/** How many hours the signature of a request is ahead of this machine's clock. */
function hoursAhead(i: number): number {
  const date = String(stub.requests[i]?.headers['x-amz-date']);
  const iso = date.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
  return Math.round((Date.parse(iso) - Date.now()) / HOUR_MS) + 0;
}

describe('a client with a wrong clock', () => {
  it.for([
    ['behind', 'HTTP after status 403', 2, FORBIDDEN],
    ['ahead', 'HTTP after status 403', -2, FORBIDDEN],
    ['behind', 'HTTP after status 401', 2, { status: 401, body: '{"message":"Unauthorized"}' }],
    ['behind', 'HTTP after InvalidSignatureException', 2, refused('InvalidSignatureException', 'Signature expired: …')],
    [
      'behind',
      'Lambda after InvalidSignatureException',
      2,
      refused('InvalidSignatureException', 'Signature expired: …'),
    ],
    ['ahead', 'Lambda after RequestTimeTooSkewed', -2, refused('RequestTimeTooSkewed', '…')],
  ] as const)(
    'sends a refused request again with the corrected time if the clock is two hours %s (over %s)',
    async ([, attempt, hours, refusal]) => {
      const way = attempt.startsWith('HTTP') ? 'HTTP' : 'Lambda';
      const client = await clientOf(way, [at(hours * HOUR_MS, refusal), at(hours * HOUR_MS, good)]);
      expect(await client.decrypt('kf1.x')).toEqual(new Uint8Array(HELLO));
      expect([hoursAhead(0), hoursAhead(1)]).toEqual([0, hours]);
      await client.decrypt('kf1.x');
      expect(hoursAhead(2)).toBe(hours);
      expect(stub.requests).toHaveLength(3);
    },
  );

  it.for(['HTTP', 'Lambda'] as const)(
    'names the clock in the error if the API also refuses the corrected request (over %s)',
    async (way) => {
      const refusal = refused('InvalidSignatureException', 'Signature expired: CANARY');
      const error = await failureOf((await clientOf(way, [at(2 * HOUR_MS, refusal)])).decrypt('kf1.x'));
      expect(error).toMatchObject({ code: 'Forbidden', retryable: false });
      expect(error.message).toMatch(
        way === 'HTTP' ? /this machine's clock is 7\d\d\d s behind/i : /check this machine's clock and its credentials/,
      );
      expect(error.message).not.toContain('CANARY');
      expect(stub.requests).toHaveLength(2);
    },
  );

  it('says in the error how many seconds the clock is behind or ahead', async () => {
    for (const [hours, said] of [
      [2, /clock is 7\d\d\d s behind/],
      [-2, /clock is 7\d\d\d s ahead/],
    ] as const) {
      const error = await failureOf((await clientOf('HTTP', [at(hours * HOUR_MS, FORBIDDEN)])).decrypt('kf1.x'));
      expect(error.message).toMatch(said);
      await stub.stop();
    }
  });

  it.for([
    [7_200_400, '7200 s behind'],
    [-1600, '2 s ahead'],
  ] as const)('rounds a difference of %d ms to "%s"', ([offsetMs, said]) => {
    expect(clockRefusal('Lambda', 403, offsetMs, { requestId: 'r1', retryAfterSeconds: 3 })).toMatchObject({
      code: 'Forbidden',
      message: `Lambda answered with status 403, even after the client signed with AWS's time. This machine's clock is ${said}.`,
      requestId: 'r1',
      retryAfterSeconds: 3,
    });
  });

  it('names the clock in errors for status 401 and 403, but not for 500', async () => {
    for (const [status, named] of [
      [401, true],
      [403, true],
      [500, false],
    ] as const) {
      const client = await clientOf('HTTP', [at(2 * HOUR_MS, FORBIDDEN), { ...FORBIDDEN, status }]);
      const { message } = await failureOf(client.decrypt('kf1.x'));
      expect([message.includes(`status ${status}`), message.includes('clock')]).toEqual([true, named]);
      await stub.stop();
    }
  });

  it('signs again if the clock was set right while the request was in progress', async () => {
    const trueMs = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: trueMs - 2 * HOUR_MS });
    const client = await clientOf('HTTP', [
      () => {
        vi.setSystemTime(trueMs);
        return at(0, FORBIDDEN);
      },
      good,
    ]);
    expect(await client.decrypt('kf1.x')).toEqual(new Uint8Array(HELLO));
    expect([hoursAhead(0), hoursAhead(1)]).toEqual([-2, 0]);
  });

  it.for([200, 400, 404, 429, 500])(
    "does not compare its clock with the response's date after status %i",
    async (status) => {
      const client = await clientOf('HTTP', [at(2 * HOUR_MS, { status, body: '{}' }), at(2 * HOUR_MS, good)]);
      const { message } = await failureOf(client.decrypt('kf1.x'));
      expect(message).not.toContain('clock');
      await client.decrypt('kf1.x');
      expect([hoursAhead(0), hoursAhead(1)]).toEqual([0, 0]);
      expect(stub.requests).toHaveLength(2);
    },
  );

  it('corrects the time only once, and does not retry a request that was signed with the correct time', async () => {
    const client = await clientOf(
      'HTTP',
      [FORBIDDEN, good, FORBIDDEN].map((answer) => at(2 * HOUR_MS, answer)),
    );
    await client.decrypt('kf1.x');
    expect(await failureOf(client.decrypt('kf1.x'))).toMatchObject({ code: 'Forbidden' });
    expect(stub.requests).toHaveLength(3);
  });

  it('repeats every concurrent request with the corrected time', async () => {
    const ahead = new Date(Date.now() + HOUR_MS).toISOString().replace(/[-:]/g, '');
    const client = await clientOf('HTTP', [
      ({ headers }) => at(2 * HOUR_MS, String(headers['x-amz-date']) > ahead ? good : FORBIDDEN),
    ]);
    const opened = await Promise.all([1, 2, 3].map(() => client.decrypt('kf1.x')));
    expect(opened).toEqual([HELLO, HELLO, HELLO].map((bytes) => new Uint8Array(bytes)));
    expect(stub.requests).toHaveLength(6);
  });

  it("does not blame the clock for a refusal if the response's date agrees with the clock or is invalid", async () => {
    for (const headers of [{ date: new Date().toUTCString() }, { date: 'some day' }]) {
      const error = await failureOf((await clientOf('HTTP', [{ ...FORBIDDEN, headers }])).decrypt('kf1.x'));
      expect(error.message).toBe('The API answered with status 403.');
      expect(stub.requests).toHaveLength(1);
      await stub.stop();
    }
  });

  it('retries neither a request with an authorization token nor a request that Keyfold itself refused', async () => {
    stub = await startStub(at(2 * HOUR_MS, FORBIDDEN));
    const http = { endpoint: stub.url, authorization: () => Promise.resolve('Bearer x') };
    await failureOf(new KeyfoldClient({ http }).partition('p').decrypt('kf1.x'));
    expect(stub.requests).toHaveLength(1);
    await stub.stop();
    const headers = { 'content-type': 'application/problem+json' };
    const denied = at(2 * HOUR_MS, { status: 403, headers, body: '{"code":"Forbidden","detail":"Why."}' });
    expect(await failureOf((await clientOf('HTTP', [denied])).decrypt('kf1.x'))).toMatchObject({
      name: 'KeyfoldServiceError',
      code: 'Forbidden',
    });
    expect(stub.requests).toHaveLength(1);
  });
});

it('the client corrects the time of requests only if the clock is wrong by four minutes or more', async () => {
  for (const [minutes, requests] of [
    [3, 1],
    [-3, 1],
    [5, 2],
    [-5, 2],
  ] as const) {
    await failureOf((await clientOf('HTTP', [at(minutes * 60_000, FORBIDDEN)])).decrypt('kf1.x'));
    expect(stub.requests).toHaveLength(requests);
    await stub.stop();
  }
});

it('the client retries once if the API says that the signature is not yet current, and then advises to check the clock', async () => {
  const refusal = refused('Other', 'Signature not yet current: …');
  const credentials = vi.fn<() => Promise<typeof IDENTITY>>(() => Promise.resolve(IDENTITY));
  const error = await failureOf((await clientOf('HTTP', [refusal], credentials)).decrypt('kf1.x'));
  expect(credentials.mock.calls).toEqual([[], []]);
  expect(error.message).toBe("The API answered with status 403: check this machine's clock and its credentials.");
  expect(stub.requests).toHaveLength(2);
});

describe('a client with expired credentials', () => {
  it('calls the credential provider once with forceRefresh', async () => {
    const credentials = vi.fn<() => Promise<typeof IDENTITY>>(() => Promise.resolve(IDENTITY));
    const ended = refused('ExpiredTokenException:http://x/', '…');
    const client = await clientOf('HTTP', [ended, good], credentials);
    await client.decrypt('kf1.x');
    await client.decrypt('kf1.x');
    expect(credentials.mock.calls).toEqual([[], [{ forceRefresh: true }], []]);
  });

  it("compares the expiry time of the credentials with the API's clock", async () => {
    const ends = new Date(Date.now() + 2 * HOUR_MS);
    const credentials = vi.fn<() => Promise<typeof IDENTITY>>(() => Promise.resolve({ ...IDENTITY, expiration: ends }));
    const client = await clientOf('HTTP', [at(2 * HOUR_MS, FORBIDDEN), at(2 * HOUR_MS, good)], credentials);
    await client.decrypt('kf1.x');
    expect(credentials).toHaveBeenCalledTimes(2);
  });

  it('signs a request to Lambda again even if the credential provider cannot renew the credentials', async () => {
    const refreshed: unknown[] = [];
    const config = {
      serviceId: 'Lambda',
      maxAttempts: async () => 1,
      credentials: async (options?: object) => {
        refreshed.push(options);
        if (options !== undefined) throw new Error('CANARY');
        return IDENTITY;
      },
    };
    const send = vi
      .fn<() => Promise<unknown>>()
      .mockRejectedValueOnce(Object.assign(new Error('…'), { name: 'ExpiredTokenException' }))
      .mockResolvedValue({ Payload: Buffer.from(good.body), $metadata: {} });
    const client = { config, send } as unknown as LambdaClient;
    const lambda = new LambdaTransport({ functions: 'keyfold', client });
    expect(await new KeyfoldClient({ lambda }).partition('p').decrypt('kf1.x')).toEqual(new Uint8Array(HELLO));
    expect([refreshed, send.mock.calls.length]).toEqual([[undefined, { forceRefresh: true }], 2]);
  });

  it.for([
    ['HTTP', 'ExpiredTokenException', 'The security token included in the request is expired'],
    ['HTTP', 'UnrecognizedClientException', 'The security token included in the request is invalid.'],
    ['HTTP', 'an unknown exception', 'The security token included in the request is expired'],
    ['Lambda', 'ExpiredTokenException', 'The security token included in the request is expired'],
    ['Lambda', 'UnrecognizedClientException', 'The security token included in the request is invalid.'],
  ] as const)('gets new credentials if a call of the %s API fails with %s', async ([way, name, message]) => {
    let asked = 0;
    const inAnHour = new Date(Date.now() + HOUR_MS);
    const credentials = () =>
      Promise.resolve({ ...IDENTITY, accessKeyId: `AKID${(asked += 1)}`, expiration: inAnHour });
    const client = await clientOf(way, [good, refused(name, message), good], credentials);
    await client.decrypt('kf1.x');
    expect(await client.decrypt('kf1.x')).toEqual(new Uint8Array(HELLO));
    const ids = stub.requests.map(({ headers }) => /Credential=([^/]+)/.exec(headers.authorization ?? '')?.[1]);
    expect(ids).toEqual(['AKID1', 'AKID1', 'AKID2']);
  });
});

it.for([
  'http://localhost.keyfold.example',
  'http://127.0.0.1.keyfold.example',
  'http://keyfold.example/localhost',
  'http://localhost@keyfold.example',
  'http://notlocalhost',
  'http://[::2]',
])('the client refuses to send plaintexts without TLS to %s', async (endpoint) => {
  stub = await startStub(good);
  expect(() => new KeyfoldClient({ http: { endpoint, region: 'us-west-2', credentials: LOCAL_CREDENTIALS } })).toThrow(
    'http.endpoint must',
  );
});
