import { once } from 'node:events';
import { Agent, createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import { FreezeDetector, TICK_MS } from '../../../src/connections/freeze-detector.ts';
import { guardAgainstFreezes } from '../../../src/connections/freeze-guard.ts';

/** The guard allows this many ticks without a byte of the response. */
const TICKS = 4;
const server = createServer();
let request: ReturnType<typeof get>;
let response: ServerResponse;

/** Begins a request, and freezes the process before the response begins. */
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const detected = vi.spyOn(FreezeDetector.prototype, 'wasFrozen').mockReturnValue(false);
  const agent = guardAgainstFreezes(new Agent({ keepAlive: true }), { answerWithinMs: TICKS * TICK_MS });
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
});

it('a response that makes no progress after a freeze ends with ECONNRESET', async () => {
  const failed = once(request, 'error');
  vi.advanceTimersByTime(TICK_MS * TICKS);
  expect(request.destroyed).toBe(false);
  vi.advanceTimersByTime(TICK_MS);
  expect(await failed).toMatchObject([{ code: 'ECONNRESET', message: 'No answer after the process was frozen.' }]);
});
