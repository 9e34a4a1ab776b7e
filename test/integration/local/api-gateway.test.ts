import { once } from 'node:events';
import { createServer, request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import { toEvent } from '../../../local/api-gateway.ts';
import { createApiServer } from '../../../local/api-server.ts';
import type { LocalFunction } from '../../../local/local-function.ts';
import type { AnsweredRequest } from '../../../local/request-log.ts';
import { startLocalApi, type LocalApi } from '../../support/local-api.ts';

let api: LocalApi;

beforeAll(async () => {
  api = await startLocalApi();
});
afterAll(() => api.stop());

const BODY = '{"plaintext":"aGVsbG8="}';

/** Sends exactly these bytes and this path. A client library would normalise them. */
function send(
  body: Uint8Array | string,
  headers: Readonly<Record<string, string>> = {},
  { method = 'POST', path = '/v1/partitions/a@b.c/encrypt' } = {},
): Promise<{ status: number; headers: Readonly<Record<string, unknown>>; detail: unknown; text: string }> {
  const { hostname, port } = new URL(api.url);
  const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof send>>>();
  const sent = request({ hostname, port, method, path, headers: { 'content-type': 'application/json', ...headers } });
  sent.on('error', reject);
  sent.on('response', (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    response.on('end', () => {
      const { detail } = (text === '' ? {} : JSON.parse(text)) as { detail?: unknown };
      resolve({ status: response.statusCode ?? 0, headers: response.headers, detail, text });
    });
  });
  sent.end(body);
  return promise;
}

it('the local gateway makes an event of payload format 2.0', async () => {
  const events: object[] = [];
  const server = createServer((asked, response) => {
    events.push(toEvent(asked, Buffer.from(BODY)));
    response.end();
  });
  const host = `127.0.0.1:${await listen(server, 0)}`;
  const headers = { 'content-type': 'application/json', 'user-agent': 'test' };
  await fetch(`http://${host}/v1/partitions/a%40b/encrypt?x=1&y`, { method: 'POST', headers, body: BODY });
  await close(server);
  const routeKey = 'POST /v1/partitions/{partition}/{operation}';
  const path = '/v1/partitions/a@b/encrypt';
  expect(events).toEqual([
    {
      version: '2.0',
      routeKey,
      rawPath: path,
      rawQueryString: 'x=1&y',
      headers: expect.objectContaining({ ...headers, host }) as object,
      requestContext: {
        accountId: 'anonymous',
        apiId: 'local',
        domainName: host,
        domainPrefix: 'local',
        http: { method: 'POST', path, protocol: 'HTTP/1.1', sourceIp: '127.0.0.1', userAgent: 'test' },
        requestId: expect.stringMatching(/^[\da-f-]{36}$/) as string,
        routeKey,
        stage: '$default',
        time: expect.any(String) as string,
        timeEpoch: expect.any(Number) as number,
      },
      pathParameters: { partition: 'a@b', operation: 'encrypt' },
      body: BODY,
      isBase64Encoded: false,
    },
  ]);
});

/** The event for a request to this server. */
function eventOf(method: string, url: string, body: Buffer, headers: Readonly<Record<string, string[]>> = {}): object {
  const asked = { method, url, headersDistinct: headers, httpVersion: '1.0', socket: {} };
  return toEvent(asked as unknown as IncomingMessage, body);
}

it.for([
  ['GET', '/v1/health', 'GET /v1/health', '/v1/health', undefined],
  ['GET', '/v1/ready', 'GET /v1/ready', '/v1/ready', undefined],
  ['GET', '/v1/openapi.json', 'GET /v1/openapi.json', '/v1/openapi.json', undefined],
  ['POST', '/v1/health', '$default', '/v1/health', undefined],
  ['GET', '/v1/healths', '$default', '/v1/healths', undefined],
  ['POST', '/v1/partitions//encrypt', '$default', '/v1/partitions//encrypt', undefined],
  ['POST', '/v1/partitions/a/encrypt/', '$default', '/v1/partitions/a/encrypt/', undefined],
  [
    'POST',
    '/v1/partitions/%/b%2Fc',
    'POST /v1/partitions/{partition}/{operation}',
    '/v1/partitions/%/b%2Fc',
    { partition: '%', operation: 'b/c' },
  ],
] as const)('the local gateway gives %s %s the route %s', ([method, url, routeKey, rawPath, pathParameters]) => {
  const found = eventOf(method, url, Buffer.alloc(0));
  expect(found).toMatchObject({ routeKey, rawPath, rawQueryString: '', requestContext: { routeKey } });
  expect((found as { pathParameters?: object }).pathParameters).toEqual(pathParameters);
  expect(found).not.toHaveProperty('body');
  expect(found).toMatchObject({
    isBase64Encoded: false,
    requestContext: {
      domainName: '127.0.0.1',
      http: { method, path: rawPath, protocol: 'HTTP/1.0', sourceIp: '127.0.0.1', userAgent: '' },
    },
  });
});

it.for([
  ['text/plain', 'hi', 'hi', false],
  ['application/problem+json', 'hi', 'hi', false],
  ['application/javascript', 'hi', 'hi', false],
  ['application/xml', 'hi', 'hi', false],
  ['application/octet-stream', 'hi', 'aGk=', true],
  ['image/text/plain', 'hi', 'aGk=', true],
  ['text/plain', Buffer.from([255]), '/w==', true],
] as const)(
  'the local gateway passes on a body of the type %s as base64 unless both the type and the content are text',
  ([type, sent, body, isBase64Encoded]) => {
    const found = eventOf('POST', '/', Buffer.from(sent), { 'content-type': [type] });
    expect(found).toMatchObject({ body, isBase64Encoded, headers: { 'content-type': type } });
  },
);

it.for([
  ['bytes that are not UTF-8', Buffer.from('{"plaintext":"\xe9"}', 'latin1'), {}, 400, /not UTF-8/],
  ['a byte order mark', `\ufeff${BODY}`, {}, 400, /byte order mark/],
  ['text in UTF-16', Buffer.from(BODY, 'utf16le'), {}, 400, /not JSON|not UTF-8/],
  ['no bytes', '', {}, 400, /no body/],
  ['gzip compression', gzipSync(BODY), { 'content-encoding': 'gzip' }, 415, /Content-Encoding/],
  ['a charset that is not UTF-8', BODY, { 'content-type': 'application/json; charset=latin1' }, 415, /UTF-8/],
  ['the content type text/plain', BODY, { 'content-type': 'text/plain' }, 415, /application\/json/],
] as const)(
  'the local gateway passes on a body with %s, which the handler refuses',
  async ([, body, headers, status, detail]) => {
    expect(await send(body, headers)).toMatchObject({ status, detail: expect.stringMatching(detail) as string });
  },
);

it.for([
  ['content-type', ['application/json', 'text/plain'], /application\/json/],
  ['content-type', ['text/plain', 'application/json'], /application\/json/],
  ['content-encoding', ['identity', 'gzip'], /Content-Encoding/],
  ['content-encoding', ['gzip', 'identity'], /Content-Encoding/],
] as const)('the local gateway joins the values of the header %s: %j', async ([name, values, detail]) => {
  const { hostname, port } = new URL(api.url);
  const repeated = values.flatMap((value) => [name, value]);
  const type = name === 'content-type' ? [] : ['content-type', 'application/json'];
  const sent = request({
    hostname,
    port,
    method: 'POST',
    path: '/v1/partitions/a/encrypt',
    headers: ['host', 'localhost', 'content-length', String(BODY.length), ...type, ...repeated],
  });
  sent.end(BODY);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  expect([response.statusCode, await textOf(response)]).toEqual([415, expect.stringMatching(detail)]);
});

it('the local gateway accepts a content type with an empty parameter, and %40 for @ in the path', async () => {
  const type = { 'content-type': 'application/json;' };
  expect((await send(BODY, type)).status).toBe(200);
  expect((await send(BODY, type, { path: '/v1/partitions/a%40b.c/encrypt' })).status).toBe(200);
});

it('the local gateway logs a client that disconnects in the middle of a body, but prints no error', async () => {
  const printed = vi.spyOn(console, 'error').mockImplementation(() => {});
  const answered = Promise.withResolvers<AnsweredRequest>();
  const unused = {} as LocalFunction;
  const server = createApiServer(unused, unused, () => Promise.resolve(false), {}, answered.resolve);
  const client = connect(await listen(server, 0), '127.0.0.1');
  client.write('POST /v1/health HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{');
  await once(server, 'request');
  client.destroy();
  expect(await answered.promise).toMatchObject({ what: 'POST /v1/health', outcome: 'client left' });
  expect(printed).not.toHaveBeenCalled();
  printed.mockRestore();
  await close(server);
});

it('the local gateway responds to HEAD /v1/health without a body', async () => {
  const answer = await send('', {}, { method: 'HEAD', path: '/v1/health' });
  expect([answer.status, answer.text]).toEqual([200, '']);
});

it('the local gateway names the allowed method if a request has a method that is not allowed', async () => {
  const answer = await send(BODY, {}, { method: 'PUT' });
  expect([answer.status, answer.headers['allow']]).toEqual([405, 'POST']);
});

it.for([
  ['http://127.0.0.1/v1/partitions/tenant-1/encrypt', 200],
  ['HTTPS://keyfold.example:8443/v1/partitions/tenant-1/encrypt', 200],
  ['http://127.0.0.1/2015-03-31/functions/keyfold-seal/invocations', 200],
  ['http://127.0.0.1?x', 404],
  ['//127.0.0.1/v1/partitions/tenant-1/encrypt', 404],
] as const)('the local gateway responds to a request for %s with %i', async ([path, status]) => {
  expect((await send(BODY, {}, { path })).status).toBe(status);
});
