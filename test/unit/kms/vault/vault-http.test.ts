import http, { type ClientRequest } from 'node:http';
import { Agent, globalAgent } from 'node:https';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { FreezeDetector } from '../../../../src/connections/freeze-detector.ts';
import { FrozenConnection } from '../../../../src/connections/freeze-guard.ts';
import { VaultHttp } from '../../../../src/kms/vault/vault-http.ts';
import { errorOf } from '../../../support/fakes.ts';
import { startStub, type StubAnswer, type StubServer } from '../../../support/stub-server.ts';

const OK = { status: 200, body: '{"data":{}}' };
let stub: StubServer;

afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await stub.stop();
});

it.for([
  ['again if the freeze guard has closed the connection', new FrozenConnection(), 2],
  ['only once if something other than the freeze guard breaks the connection', new Error('broken'), 1],
] as const)('VaultHttp sends a request %s', async ([, fault, requests]) => {
  stub = await startStub('hang', OK);
  const sent = vi.spyOn(http, 'request');
  const posted = new VaultHttp(stub.url, undefined, undefined).post(
    'transit/encrypt/keyfold',
    'token',
    Buffer.from('{}'),
    new AbortController().signal,
  );
  const outcome = requests === 2 ? posted : errorOf(posted);
  await vi.waitFor(() => expect(stub.requests).toHaveLength(1));
  const { value } = sent.mock.results[0] as { readonly value: ClientRequest };
  value.socket?.destroy(fault);
  expect(await outcome).toEqual(requests === 2 ? { status: 200, body: { data: {} } } : fault);
  expect(stub.requests).toHaveLength(requests);
});

it('VaultHttp sends a request again if no byte of its response arrives within a second after a freeze', async () => {
  stub = await startStub('hang', OK);
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const frozen = vi.spyOn(FreezeDetector.prototype, 'wasFrozen').mockReturnValue(false);
  const sent = vi.spyOn(http, 'request');
  const { signal } = new AbortController();
  const posted = new VaultHttp(stub.url, undefined, undefined).post('x', undefined, Buffer.from('{}'), signal);
  await vi.waitFor(() => expect(stub.requests).toHaveLength(1));
  const { value } = sent.mock.results[0] as { readonly value: ClientRequest };
  frozen.mockReturnValueOnce(true);
  vi.advanceTimersByTime(1000);
  expect(value.socket?.destroyed).toBe(false);
  vi.advanceTimersByTime(25);
  expect(value.socket?.destroyed).toBe(true);
  vi.useRealTimers();
  expect(await posted).toEqual({ status: 200, body: { data: {} } });
  expect(stub.requests).toHaveLength(2);
});

/** Posts a body to a stub that sends this response. */
async function post(answer: StubAnswer, body = Buffer.from('{"a":1}'), signal = new AbortController().signal) {
  stub = await startStub(answer);
  return new VaultHttp(stub.url, undefined, undefined).post('transit/encrypt/keyfold', 'token', body, signal);
}

it('VaultHttp posts a body, and zeroes it afterwards', async () => {
  const body = Buffer.from('{"a":1}');
  await post(OK, body);
  expect(stub.requests).toMatchObject([{ method: 'POST', path: '/v1/transit/encrypt/keyfold', body: '{"a":1}' }]);
  expect(stub.requests[0]?.headers['content-length']).toBe('7');
  expect(body).toEqual(Buffer.alloc(7));
});

it('VaultHttp zeroes the body of a request that fails', async () => {
  const body = Buffer.from('{"a":1}');
  await errorOf(post('reset', body));
  expect(body).toEqual(Buffer.alloc(7));
});

it('VaultHttp ends a request whose signal aborts', async () => {
  const controller = new AbortController();
  const failed = errorOf(post('hang', undefined, controller.signal));
  await vi.waitFor(() => expect(stub.requests).toHaveLength(1));
  controller.abort(new Error('gone'));
  expect(await failed).toBeInstanceOf(Error);
});

it.for([
  ['text instead of JSON', 'no JSON'],
  ['no bytes', ''],
] as const)('VaultHttp treats a response body with %s as an empty object', async ([, body]) => {
  expect(await post({ status: 502, body })).toEqual({ status: 502, body: {} });
});

it('VaultHttp reads a response of 64 KiB, and refuses a longer response', async () => {
  const whole = '{"data":{}}'.padEnd(65_536);
  expect(await post({ status: 200, body: whole })).toEqual({ status: 200, body: { data: {} } });
  await stub.stop();
  expect(await errorOf(post({ status: 200, body: `${whole} ` }))).toMatchObject({ code: 'AnswerTooLong' });
});

it('VaultHttp connects over TLS with the CA certificates that the caller gives and the proxy that the process uses', async () => {
  stub = await startStub(OK);
  const { proxyEnv } = globalAgent.options;
  onTestFinished(() => void (globalAgent.options.proxyEnv = proxyEnv));
  globalAgent.options.proxyEnv = { HTTPS_PROXY: 'http://127.0.0.1:1' };
  const connections: unknown[] = [];
  vi.spyOn(Agent.prototype, 'createConnection').mockImplementation(function (this: Agent) {
    const { ca, proxyEnv: proxy, keepAlive } = this.options;
    connections.push({ ca, proxy, keepAlive });
    throw new Error('there is no network');
  });
  const signal = new AbortController().signal;
  for (const ca of ['certificates', undefined]) {
    await errorOf(new VaultHttp('https://127.0.0.1:1', undefined, ca).post('x', undefined, Buffer.alloc(1), signal));
  }
  const proxy = globalAgent.options.proxyEnv;
  expect(connections).toEqual([
    { ca: 'certificates', proxy, keepAlive: true },
    { ca: undefined, proxy, keepAlive: true },
  ]);
});
