/** Tests the HTTP connections of the client: TLS, proxies, concurrent calls, and when connections close. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { globalAgent } from 'node:https';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { expect, it, vi } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import { KeyfoldClient } from '../../../src/client/index.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { failureOf } from '../../support/contract/client-contract.ts';
import { startStub } from '../../support/stub-server.ts';

function clientOf(endpoint: string): ReturnType<KeyfoldClient['partition']> {
  return new KeyfoldClient({
    http: { endpoint, region: 'us-west-2', credentials: LOCAL_CREDENTIALS },
    retry: { maxAttempts: 1 },
  }).partition('p');
}

it('the client uses TLS for an https endpoint', async () => {
  const server = createTcpServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const call = failureOf(clientOf(`https://127.0.0.1:${port}`).decrypt('kf1.x'));
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [sent] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  // The first byte of a TLS handshake record is 0x16.
  expect(sent[0]).toBe(22);
  expect(await call).toMatchObject({ code: 'Unreachable' });
  server.close();
});

it('the client sends its requests through a proxy if NODE_USE_ENV_PROXY is set', async () => {
  const proxy = await startStub({ status: 200, body: '{"plaintext":"aGVsbG8="}' });
  const { proxyEnv } = globalAgent.options;
  try {
    globalAgent.options.proxyEnv = { http_proxy: proxy.url };
    expect(await clientOf('http://localhost:9').decrypt('kf1.x')).toEqual(new Uint8Array(Buffer.from('hello')));
    expect(proxy.requests.map(({ path }) => path)).toEqual(['http://localhost:9/v1/partitions/p/decrypt']);
  } finally {
    globalAgent.options.proxyEnv = proxyEnv;
    await proxy.stop();
  }
});

it('the client refuses a response that is not UTF-8, because decoding it would change a document', async () => {
  const body = Buffer.from('{"documentText":"\\"h\u00e9llo\\""}', 'latin1');
  const server = await startStub({ status: 200, body });
  const call = clientOf(server.url).decryptFields({ documentText: '{}', all: true });
  expect(await failureOf(call)).toMatchObject({ code: 'UnexpectedAnswer' });
  await server.stop();
});

it('the client reads a response of a megabyte, which arrives in several parts', async () => {
  const plaintext = Buffer.alloc(1024 * 1024, 'x');
  const server = await startStub({ status: 200, body: `{"plaintext":"${plaintext.toString('base64')}"}` });
  expect(plaintext.equals(await clientOf(server.url).decrypt('kf1.x'))).toBe(true);
  await server.stop();
});

it.for([200, 503])('the client reads no more than 16 MiB of a response with the status %i', async (status) => {
  const chunk = Buffer.alloc(1024 * 1024, ' ');
  let sentChunks = 0;
  const server = createServer((_, response) => {
    response.writeHead(status);
    const send = (): void => {
      sentChunks += 1;
      response.write(chunk, () => !response.destroyed && sentChunks < 64 && send());
    };
    send();
  });
  const endpoint = `http://127.0.0.1:${await listen(server, 0)}`;
  expect(await failureOf(clientOf(endpoint).decrypt('kf1.x'))).toMatchObject({
    code: 'UnexpectedAnswer',
    message: 'The API sent more than 16777216 bytes.',
  });
  expect(sentChunks).toBeLessThan(64);
  await close(server);
});

it('the client throws UnexpectedAnswer at once if the server switches to another protocol', async () => {
  const server = createTcpServer((socket) => {
    socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  expect(await failureOf(clientOf(`http://127.0.0.1:${port}`).decrypt('kf1.x'))).toMatchObject({
    code: 'UnexpectedAnswer',
    message: 'The API answered with status 101.',
  });
  server.close();
});

it('the client reads an error response that is not UTF-8', async () => {
  const body = Buffer.from('{"message":"Signature expired: \u00e9"}', 'latin1');
  const server = await startStub({ status: 403, body });
  expect(await failureOf(clientOf(server.url).decrypt('kf1.x'))).toMatchObject({
    message: expect.stringContaining("this machine's clock") as string,
  });
  await server.stop();
});

// After ten seconds, the agent would close the idle connection anyway, so the test's timeout is shorter than that.
it('the client closes the connection when a call is aborted', { timeout: 5000 }, async () => {
  const server = createServer(() => {});
  const endpoint = `http://127.0.0.1:${await listen(server, 0)}`;
  const came = once(server, 'request') as Promise<[{ readonly socket: NodeJS.EventEmitter }]>;
  const controller = new AbortController();
  const call = clientOf(endpoint).decrypt('kf1.x', { signal: controller.signal }).catch(String);
  const [{ socket }] = await came;
  const closed = once(socket, 'close');
  controller.abort(new Error('gone'));
  expect(await call).toBe('Error: gone');
  await closed;
  await close(server);
});

it('concurrent calls of the client do not wait for each other, because each has its own connection', async () => {
  const stub = await startStub('hang');
  const client = clientOf(stub.url);
  const controller = new AbortController();
  const calls = Array.from({ length: 51 }, () => client.decrypt('kf1.x', { signal: controller.signal }).catch(String));
  await vi.waitUntil(() => stub.requests.length === 51, { timeout: 10_000 });
  controller.abort(new Error('gone'));
  expect(new Set(await Promise.all(calls))).toEqual(new Set(['Error: gone']));
  await stub.stop();
});
