/** Tests the servers of `npm start` with fakes in place of the functions. */
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import { createApiServer } from '../../../local/api-server.ts';
import { FunctionFailure, type LocalFunction } from '../../../local/local-function.ts';
import type { AnsweredRequest } from '../../../local/request-log.ts';

const TIMEOUT_MS = 30_000;
const MIB = 1024 * 1024;

let calls: unknown[][];
let answered: AnsweredRequest[];
let results: Record<string, () => unknown>;
let stop: () => Promise<void>;
let url: string;

/** A function that records its calls, and returns the result that `results` has for its name. */
function functionNamed(name: string): LocalFunction {
  return {
    invoke: async (event: unknown, timeoutMs: number) => {
      calls.push([name, event, timeoutMs]);
      return results[name]?.();
    },
    run: async (payload: string, timeoutMs: number, requestId: string) => {
      calls.push([name, payload, timeoutMs, requestId]);
      return results[name]?.();
    },
    recycle: async () => void calls.push([name, 'recycle']),
  } as unknown as LocalFunction;
}

beforeEach(async () => {
  calls = [];
  answered = [];
  results = {};
  const [api, maintenance, seal] = ['api', 'maintenance', 'seal'].map(functionNamed) as [
    LocalFunction,
    LocalFunction,
    LocalFunction,
  ];
  const server = createApiServer(
    api,
    maintenance,
    async (asked, _, response) => {
      if (asked.url !== '/page') return false;
      response.end('page');
      return true;
    },
    { seal, maintenance },
    (one) => void answered.push(one),
  );
  url = `http://127.0.0.1:${await listen(server, 0)}`;
  stop = () => close(server);
});
afterEach(() => stop());

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Sends a POST. The response has no headers that Node adds. */
async function post(path: string, body: string | Buffer = '', headers: Record<string, string> = {}): Promise<Answer> {
  const sent = request(url + path, { method: 'POST', headers });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const { date: _date, 'transfer-encoding': _encoding, 'content-length': _length, ...own } = response.headers;
  return { status: response.statusCode, headers: own, body: await text(response) };
}

function line(what: string, outcome: string): AnsweredRequest {
  return { what, outcome, ms: expect.any(Number) as number };
}

const JSON_TYPE = { 'content-type': 'application/json' };
const KEPT = { connection: 'keep-alive', 'keep-alive': 'timeout=5' };

describe('the server of npm start', () => {
  it('ends the environment of every function on POST /local/cold-start', async () => {
    expect(await post('/local/cold-start')).toEqual({ status: 204, headers: KEPT, body: '' });
    expect(calls).toEqual([
      ['api', 'recycle'],
      ['seal', 'recycle'],
      ['maintenance', 'recycle'],
    ]);
    expect(answered).toEqual([line('POST /local/cold-start', '204')]);
  });

  it("invokes the maintenance with the schedule's event, and returns its report", async () => {
    results = { maintenance: () => ({ systemKeys: [] }) };
    const answer = { status: 200, headers: { ...JSON_TYPE, ...KEPT }, body: '{"systemKeys":[]}' };
    expect(await post('/local/maintenance')).toEqual(answer);
    expect(calls).toEqual([['maintenance', { source: 'aws.events' }, TIMEOUT_MS]]);
    expect(answered).toEqual([line('POST /local/maintenance', '200')]);
  });

  it("responds with a function's headers and decoded body, and logs the error code in the body", async () => {
    results = { api: () => ({ statusCode: 201, headers: { etag: 'x' }, body: 'aGk=', isBase64Encoded: true }) };
    expect(await post('/bytes')).toEqual({ status: 201, headers: { etag: 'x', ...KEPT }, body: 'hi' });
    results = { api: () => ({}) };
    expect(await post('/none')).toEqual({ status: 200, headers: KEPT, body: '' });
    results = { api: () => ({ statusCode: 400, body: '{"code":"It"}' }) };
    expect(await post('/problem')).toEqual({ status: 400, headers: KEPT, body: '{"code":"It"}' });
    expect(answered).toEqual([line('POST /bytes', '201'), line('POST /none', '200'), line('POST /problem', '400 It')]);
    expect(calls.map(([name, event, timeoutMs]) => [name, (event as { rawPath: string }).rawPath, timeoutMs])).toEqual([
      ['api', '/bytes', TIMEOUT_MS],
      ['api', '/none', TIMEOUT_MS],
      ['api', '/problem', TIMEOUT_MS],
    ]);
  });

  it('refuses a body over 10 MiB, which does not reach the function', async () => {
    results = { api: () => ({}) };
    expect((await post('/whole', Buffer.alloc(10 * MIB))).status).toBe(200);
    expect(await post('/large', Buffer.alloc(10 * MIB + 1))).toEqual({
      status: 413,
      headers: { ...JSON_TYPE, connection: 'close' },
      body: '{"message":"Request Entity Too Large"}',
    });
    expect(calls).toHaveLength(1);
    expect(answered).toEqual([line('POST /whole', '200'), line('POST /large', '413')]);
  });

  it('responds with status 500 if a function fails, and prints the error', async () => {
    const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
    const error = new Error('it');
    results = { api: () => Promise.reject(error) };
    const body = '{"message":"Internal Server Error"}';
    expect(await post('/fails')).toEqual({ status: 500, headers: { ...JSON_TYPE, ...KEPT }, body });
    expect(printed.mock.calls).toEqual([[error]]);
    expect(answered).toEqual([line('POST /fails', '500')]);
    printed.mockRestore();
  });

  it('does not log requests that the local page handles', async () => {
    expect((await post('/page')).body).toBe('page');
    expect([answered, calls]).toEqual([[], []]);
  });
});

describe("Lambda's Invoke API of npm start", () => {
  const invocations = '/2015-03-31/functions/seal/invocations';
  const headers = { ...JSON_TYPE, 'x-amz-executed-version': '$LATEST', ...KEPT };

  /** Invokes the function. The header with the ID of the request is not part of the result. */
  async function invoke(body: string, type = 'RequestResponse'): Promise<Answer> {
    const answer = await post(invocations, body, { 'x-amz-invocation-type': type });
    const { 'x-amzn-requestid': requestId, ...own } = answer.headers;
    for (const [, , , given] of calls) expect(given).toBe(requestId);
    return { ...answer, headers: own };
  }

  it('passes the event to the function with the ID of the request, and returns its result', async () => {
    results = { seal: () => '[1.0]' };
    expect(await invoke('{"a":1.0}')).toEqual({ status: 200, headers, body: '[1.0]' });
    expect(calls).toEqual([['seal', '{"a":1.0}', TIMEOUT_MS, expect.any(String)]]);
    expect(answered).toEqual([line('INVOKE seal', '200')]);
  });

  it('invokes the function with an empty object if the request has no body', async () => {
    results = { seal: () => 'null' };
    expect((await invoke('')).body).toBe('null');
    expect(calls).toEqual([['seal', '{}', TIMEOUT_MS, expect.any(String)]]);
  });

  it('runs the function for the invocation type Event, and does not report a failure of the function', async () => {
    results = { seal: () => Promise.reject(new Error('it')) };
    expect(await invoke('{}', 'Event')).toEqual({ status: 202, headers: KEPT, body: '' });
    expect(calls).toHaveLength(1);
    expect(answered).toEqual([line('INVOKE seal', '202')]);
  });

  it('does not run the function for the invocation type DryRun', async () => {
    expect(await invoke('{}', 'DryRun')).toEqual({ status: 204, headers: KEPT, body: '' });
    expect([calls, answered]).toEqual([[], [line('INVOKE seal', '204')]]);
  });

  it.for([
    [
      'the function throws an error',
      () => Promise.reject(new FunctionFailure({ errorType: 'Forbidden', errorMessage: 'no', trace: ['at'] })),
      '{"errorType":"Forbidden","errorMessage":"no","trace":["at"]}',
      '200 Forbidden',
    ],
    [
      'the environment of the function ends',
      () => Promise.reject(new RangeError('it has ended')),
      '{"errorType":"RangeError","errorMessage":"it has ended","trace":[]}',
      '200 RangeError',
    ],
    [
      'the result is over 6 MiB',
      () => `"${'x'.repeat(6 * MIB - 1)}"`,
      '{"errorType":"Function.ResponseSizeTooLarge","errorMessage":"The answer is over 6 MiB."}',
      '200 Function.ResponseSizeTooLarge',
    ],
  ] as const)('responds with a failure of the function if %s', async ([, result, body, outcome]) => {
    results = { seal: result };
    const failed = { ...headers, 'x-amz-function-error': 'Unhandled' };
    expect(await invoke('{}')).toEqual({ status: 200, headers: failed, body });
    expect(answered).toEqual([line('INVOKE seal', outcome)]);
  });

  it('returns a result of 6 MiB', async () => {
    const body = `"${'x'.repeat(6 * MIB - 2)}"`;
    results = { seal: () => body };
    const answer = await invoke('{}');
    // Compare the lengths, because it takes seconds to show how two texts of this length differ.
    expect({ ...answer, body: answer.body.length }).toEqual({ status: 200, headers, body: 6 * MIB });
  });

  it.for([
    [
      'a request from a web page',
      invocations,
      { origin: 'https://elsewhere.example' },
      403,
      'AccessDeniedException',
      'Only programs on this machine may invoke functions here.',
      'INVOKE seal',
    ],
    [
      'an action other than Invoke',
      '/2015-03-31/functions',
      {},
      404,
      'UnknownOperationException',
      'Only Invoke is emulated, not POST /2015-03-31/functions.',
      'POST /2015-03-31/functions',
    ],
  ] as const)('refuses %s, and says why', async ([, path, sent, status, type, Message, what]) => {
    const answer = await post(path, '{}', sent);
    const id = expect.stringMatching(/^[\da-f-]{36}$/) as string;
    const own = { ...JSON_TYPE, connection: 'close', 'x-amzn-errortype': type, 'x-amzn-requestid': id };
    expect(answer).toEqual({ status, headers: own, body: JSON.stringify({ Type: 'User', Message }) });
    expect(answered).toEqual([line(what, `${status} ${type}`)]);
  });
});
