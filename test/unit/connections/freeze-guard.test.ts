import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it, vi, type MockInstance } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import { FreezeDetector, TICK_MS } from '../../../src/connections/freeze-detector.ts';
import { guardAgainstFreezes } from '../../../src/connections/freeze-guard.ts';

/** The guard allows this many ticks without a byte of the response. */
const TICKS = 4;
const server = createServer();
let agent: Agent;
let detected: MockInstance<FreezeDetector['wasFrozen']>;
let request: ReturnType<typeof get>;
let response: ServerResponse;

/** Begins a request, and freezes the process before the response begins. */
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  detected = vi.spyOn(FreezeDetector.prototype, 'wasFrozen').mockReturnValue(false);
  agent = guardAgainstFreezes(new Agent({ keepAlive: true }), { answerWithinMs: TICKS * TICK_MS });
  request = get({ port: await listen(server, 0), agent });
  [, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
  detected.mockReturnValueOnce(true);
});
afterEach(async () => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  await close(server);
});

it('a response that makes progress after a freeze arrives completely', async () => {
  const arrived = once(request, 'response') as Promise<[IncomingMessage]>;
  response.flushHeaders();
  const [incoming] = await arrived;
  const parts = incoming[Symbol.asyncIterator]();
  for (const part of ['1', '2', '3']) {
    vi.advanceTimersByTime(TICK_MS * TICKS);
    response.write(part);
    expect(String((await parts.next()).value)).toBe(part);
  }
  response.end();
  expect(await parts.next()).toMatchObject({ done: true });
  expect(request.socket?.destroyed).toBe(true);
});

it('a second freeze does not extend the time that the guard allows for a response', async () => {
  const failed = once(request, 'error');
  vi.advanceTimersByTime(TICK_MS * (TICKS - 1));
  detected.mockReturnValueOnce(true);
  vi.advanceTimersByTime(TICK_MS);
  expect(request.destroyed).toBe(false);
  vi.advanceTimersByTime(TICK_MS);
  expect(await failed).toMatchObject([{ code: 'ECONNRESET' }]);
});

it.for([
  ['the guard notices at once', TICK_MS],
  ['the guard notices only when the connection becomes idle', 0],
] as const)('a request that waits for a connection gets a new connection after a freeze that %s', async ([, ms]) => {
  detected.mockReset().mockReturnValue(false);
  agent.maxSockets = 1;
  const second = get({ port: (server.address() as AddressInfo).port, agent });
  detected.mockReturnValueOnce(true);
  vi.advanceTimersByTime(ms);
  const asked = once(server, 'request') as Promise<[IncomingMessage, ServerResponse]>;
  request.on('response', (incoming) => incoming.resume());
  response.end();
  const [, answer] = await asked;
  const arrived = once(second, 'response') as Promise<[IncomingMessage]>;
  answer.end();
  const [incoming] = await arrived;
  expect([request.socket?.destroyed, second.reusedSocket]).toEqual([true, false]);
  await once(incoming.resume(), 'end');
});

it('an idle connection is closed after a freeze, and is kept if there was no freeze', async () => {
  detected.mockReset().mockReturnValue(false);
  request.on('response', (incoming) => incoming.resume());
  response.end();
  await vi.waitFor(() => expect(Object.values(agent.freeSockets).flat()).toHaveLength(1));
  vi.advanceTimersByTime(TICK_MS);
  expect(request.socket?.destroyed).toBe(false);
  detected.mockReturnValueOnce(true);
  vi.advanceTimersByTime(TICK_MS);
  expect(request.socket?.destroyed).toBe(true);
});

it('a guard without a time limit for responses does not end a request after a freeze', async () => {
  request.on('error', () => {}).destroy();
  const asked = once(server, 'request') as Promise<[IncomingMessage, ServerResponse]>;
  const unlimited = guardAgainstFreezes(new Agent({ keepAlive: true }));
  const patient = get({ port: (server.address() as AddressInfo).port, agent: unlimited });
  const [, answer] = await asked;
  detected.mockReturnValueOnce(true);
  vi.advanceTimersByTime(3_600_000);
  expect(patient.destroyed).toBe(false);
  const arrived = once(patient, 'response') as Promise<[IncomingMessage]>;
  answer.end();
  const [incoming] = await arrived;
  await once(incoming.resume(), 'end');
});

it('a response that makes no progress after a freeze ends with ECONNRESET', async () => {
  const failed = once(request, 'error');
  vi.advanceTimersByTime(TICK_MS * TICKS);
  expect(request.destroyed).toBe(false);
  vi.advanceTimersByTime(TICK_MS);
  expect(await failed).toMatchObject([{ code: 'ECONNRESET', message: 'No answer after the process was frozen.' }]);
});
