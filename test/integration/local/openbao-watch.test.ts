import { createServer, request, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterEach, expect, it, vi } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import type { JournalCall } from '../../../local/call-journal.ts';
import { watchOpenBao } from '../../../local/openbao-watch.ts';

let servers: Server[] = [];

afterEach(async () => {
  await Promise.all(servers.map(close));
  servers = [];
});

/** Starts a server in place of OpenBao, and the watching proxy in front of it. */
async function start(answer: RequestListener): Promise<{ url: string; bao: Server; calls: JournalCall[] }> {
  const calls: JournalCall[] = [];
  const bao = createServer(answer);
  const watch = watchOpenBao(`http://127.0.0.1:${await listen(bao, 0)}`, (call) => calls.push(call));
  servers = [bao, watch];
  return { url: `http://127.0.0.1:${await listen(watch, 0)}`, bao, calls };
}

const ENCRYPT = '/v1/transit/encrypt/keyfold';

function callOf(outcome: string): JournalCall {
  return { service: 'OpenBao', region: null, action: 'transit/encrypt/keyfold', keyId: null, outcome };
}

it('the watching proxy forwards a request and its response, and reports the call', async () => {
  const { url, calls } = await start((asked, response) => {
    const { method, url: path, headers } = asked;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write(`${method} ${path} ${headers['x-vault-token'] as string} `);
    asked.pipe(response);
  });
  for (const body of ['first', 'second']) {
    const answer = await fetch(url + ENCRYPT, { method: 'POST', headers: { 'x-vault-token': 'mine' }, body });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/json']);
    expect(await answer.text()).toBe(`POST ${ENCRYPT} mine ${body}`);
  }
  await vi.waitFor(() => expect(calls).toEqual([callOf('ok'), callOf('ok')]));
});

it('the watching proxy reports the status of a refused call', async () => {
  const { url, calls } = await start((_, response) => response.writeHead(403).end('{}'));
  expect((await fetch(`${url}${ENCRYPT}?version=1`, { method: 'POST' })).status).toBe(403);
  await vi.waitFor(() => expect(calls).toEqual([callOf('HTTP 403')]));
});

it('the watching proxy closes the connection if OpenBao is not running or stops during its response', async () => {
  const { url, bao, calls } = await start((asked, response) => {
    response.writeHead(200, { 'content-length': '9' }).write('half', () => asked.socket.destroy());
  });
  const attempt = async (): Promise<string> => (await fetch(url + ENCRYPT, { method: 'POST' })).text();
  await expect(attempt()).rejects.toThrow('terminated');
  await close(bao);
  await expect(attempt()).rejects.toThrow('fetch failed');
  await vi.waitFor(() => expect(calls).toEqual([callOf('down'), callOf('down')]));
});

it('the watching proxy reports a call that the client aborts, and aborts the call at OpenBao', async () => {
  const asked = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const { url, calls } = await start((_, response) => {
    response.once('close', gone.resolve);
    asked.resolve();
  });
  const sent = request(url + ENCRYPT, { method: 'POST' }).on('error', () => {});
  sent.end();
  await asked.promise;
  sent.destroy();
  await gone.promise;
  expect(calls).toEqual([callOf('given up')]);
});

it.for(['//elsewhere.example/v1/x', 'http://elsewhere.example/v1/x'])(
  'the watching proxy forwards a request for %s only to OpenBao',
  async (path) => {
    const { url } = await start((asked, response) => response.end(asked.url));
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    request(url, { path }, resolve).once('error', reject).end();
    expect(await text(await promise)).toBe(path);
  },
);
