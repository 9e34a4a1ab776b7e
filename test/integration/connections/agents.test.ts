import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { expect, it, vi } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import { guardHandler, keptConnections } from '../../../src/connections/agents.ts';
import { guardAgainstFreezes } from '../../../src/connections/freeze-guard.ts';

it('keptConnections keeps 50 connections per host for HTTP and HTTPS, and closes them after ten idle seconds', () => {
  const { httpAgent, httpsAgent } = keptConnections({});
  expect(httpsAgent).toBeInstanceOf(HttpsAgent);
  for (const agent of [httpAgent, httpsAgent]) {
    expect(agent).toMatchObject({ options: { keepAlive: true, timeout: 10_000 } });
    expect(agent.maxSockets).toBe(50);
  }
  expect(httpAgent).not.toBeInstanceOf(HttpsAgent);
  expect(keptConnections({}, { maxSockets: 2 }).httpsAgent.maxSockets).toBe(2);
});

it('guardHandler adds only one freeze guard to each agent of a client, even if guardHandler is called twice', () => {
  const [httpAgent, httpsAgent] = [new Agent(), new HttpsAgent()];
  const listeners = (): number[] => [httpAgent, httpsAgent].map((agent) => agent.listenerCount('free'));
  const before = listeners();
  for (let i = 0; i < 2; i += 1) guardHandler({ httpHandlerConfigs: () => ({ httpAgent, httpsAgent }) });
  expect(listeners()).toEqual(before.map((count) => count + 1));
});

it.for([
  ['an absent request handler', undefined],
  ['a request handler without httpHandlerConfigs', {}],
  ['a request handler whose configuration is undefined', { httpHandlerConfigs: (): undefined => undefined }],
  ['a request handler with an unknown kind of agent', { httpHandlerConfigs: () => ({ httpAgent: {} }) }],
] as const)('guardHandler does not throw for %s', ([, handler]) => {
  expect(() => guardHandler(handler)).not.toThrow();
});

it('the freeze guard runs its timer only while connections are open', async () => {
  const server = createServer((_, response) => response.end());
  const port = await listen(server, 0);
  const [started, stopped] = [vi.spyOn(globalThis, 'setInterval'), vi.spyOn(globalThis, 'clearInterval')];
  const agent = guardAgainstFreezes(new Agent({ keepAlive: true }));
  const timer = started.mock.results[0]?.value as NodeJS.Timeout;
  expect(timer.hasRef()).toBe(false);
  try {
    await vi.waitFor(() => expect(stopped).toHaveBeenCalledWith(timer));
    expect(started).toHaveBeenCalledTimes(1);
    const [response] = (await once(get({ port, host: '127.0.0.1', agent }), 'response')) as [IncomingMessage];
    await once(response.resume(), 'end');
    expect(started).toHaveBeenCalledTimes(2);
  } finally {
    agent.destroy();
    started.mockRestore();
    stopped.mockRestore();
    await close(server);
  }
});

it('the freeze guard keeps idle connections if a new connection to another server fails', async () => {
  const server = createServer((_, response) => response.end());
  const port = await listen(server, 0);
  const agent = guardAgainstFreezes(new Agent({ keepAlive: true }));
  const gone = createServer();
  const closedPort = await listen(gone, 0);
  await close(gone);
  try {
    const [response] = (await once(get({ port, host: '127.0.0.1', agent }), 'response')) as [IncomingMessage];
    await once(response.resume(), 'end');
    await vi.waitFor(() => expect(Object.values(agent.freeSockets).flat()).toHaveLength(1));
    const failing = get({ port: closedPort, host: '127.0.0.1', agent });
    await once(failing, 'error');
    expect(Object.values(agent.freeSockets).flat()).toMatchObject([{ destroyed: false }]);
  } finally {
    agent.destroy();
    await close(server);
  }
});
