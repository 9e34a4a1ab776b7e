/** Tests the delays between attempts, with fake timers. */
import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { KeyfoldClient, type RetryPolicy } from '../../../src/client/index.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { failureOf } from '../../support/contract/client-contract.ts';
import { OtherSignal } from '../../support/other-signal.ts';
import { startStub, type StubAnswer, type StubServer } from '../../support/stub-server.ts';

vi.mock('node:timers/promises', async (original) => ({
  ...(await original<object>()),
  setTimeout: vi.fn<typeof sleep>(() => Promise.resolve() as Promise<never>),
}));

const GOOD: StubAnswer = { status: 200, body: '{"plaintext":"aGVsbG8="}' };
const HELLO = new Uint8Array(Buffer.from('hello'));
let stub: StubServer | undefined;

afterEach(async () => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  vi.mocked(sleep).mockClear();
  await stub?.stop();
  stub = undefined;
});

async function clientOf(
  answers: readonly StubAnswer[],
  retry: Partial<RetryPolicy> = {},
): Promise<ReturnType<KeyfoldClient['partition']>> {
  stub = await startStub(...answers);
  return new KeyfoldClient({
    http: { endpoint: stub.url, region: 'us-west-2', credentials: LOCAL_CREDENTIALS },
    retry,
  }).partition('p');
}

function throttled(retryAfter?: string): StubAnswer {
  return { status: 429, headers: retryAfter === undefined ? {} : { 'retry-after': retryAfter }, body: '{}' };
}

/** Returns the delay before each retry, in milliseconds. */
function waits(): unknown[] {
  return vi.mocked(sleep).mock.calls.map(([ms]) => ms);
}

it('the client doubles the limit of its random delay with each retry, up to five seconds', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  await failureOf((await clientOf([throttled()], { maxAttempts: 9 })).decrypt('kf1.x'));
  expect(waits()).toEqual([50, 100, 200, 400, 800, 1600, 2500, 2500]);
});

it('the client makes four attempts by default', async () => {
  await failureOf((await clientOf([throttled()])).decrypt('kf1.x'));
  expect(stub?.requests).toHaveLength(4);
});

it('the client sends the next attempt only after the delay', async () => {
  const delay = Promise.withResolvers<never>();
  vi.mocked(sleep).mockReturnValueOnce(delay.promise);
  const answer = (await clientOf([throttled(), GOOD])).decrypt('kf1.x');
  await vi.waitFor(() => expect(sleep).toHaveBeenCalledTimes(1));
  await new Promise((resolve) => globalThis.setTimeout(resolve, 100));
  expect(stub?.requests).toHaveLength(1);
  delay.resolve(undefined as never);
  expect(await answer).toEqual(HELLO);
  expect(stub?.requests).toHaveLength(2);
});

it("the client adds the service's retry-after to its own delay", async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  await (await clientOf([throttled('2'), throttled('0'), GOOD])).decrypt('kf1.x');
  expect(waits()).toEqual([2050, 100]);
});

it.for([
  ['obeys a retry-after header of 20 seconds', '20', {}, 2],
  ['does not retry after a retry-after header of 30 seconds', '30', {}, 1],
  [
    'obeys a retry-after header with the longest delay of a timer',
    '2147483',
    { totalTimeoutMs: Infinity, baseDelayMs: 0 },
    2,
  ],
  [
    'does not retry after a retry-after header beyond the longest delay of a timer',
    '2147484',
    { totalTimeoutMs: Infinity, baseDelayMs: 0 },
    1,
  ],
] as const)('the client %s', async ([, asked, retry, times]) => {
  const outcome = await (await clientOf([throttled(asked), GOOD], retry)).decrypt('kf1.x').catch(Object);
  expect(outcome).toMatchObject(times === 1 ? { code: 'Throttled', retryAfterSeconds: Number(asked) } : HELLO);
  expect(stub?.requests).toHaveLength(times);
});

it('the client ends an attempt after ten seconds by default', async () => {
  const client = await clientOf(['hang'], { maxAttempts: 1 });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const ended = vi.fn<(error: unknown) => void>();
  const call = client.decrypt('kf1.x').catch(ended);
  await vi.advanceTimersByTimeAsync(9_990);
  expect(ended).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(20);
  await call;
  expect(ended).toHaveBeenCalledWith(
    expect.objectContaining({ code: 'TimedOut', message: 'No answer arrived within 10000 ms.' }),
  );
});

it("the client ends an attempt when the call's total time is used up", async () => {
  const client = await clientOf(['hang'], { totalTimeoutMs: 3000 });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  // The time limit must count from the call and not from the start of the process, so let a minute pass first.
  vi.advanceTimersByTime(60_000);
  const ended = vi.fn<(error: unknown) => void>();
  const call = client.decrypt('kf1.x').catch(ended);
  await vi.advanceTimersByTimeAsync(2990);
  expect(ended).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(20);
  await call;
  expect(ended).toHaveBeenCalledWith(expect.objectContaining({ code: 'TimedOut' }));
});

it('the client clears its timer when a response arrives', async () => {
  const client = await clientOf([GOOD]);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  await client.decrypt('kf1.x');
  expect(vi.getTimerCount()).toBe(0);
});

it("the client leaves no listener on the caller's signal after a call has succeeded or failed", async () => {
  const { signal } = new AbortController();
  const client = await clientOf([throttled(), GOOD, throttled('60')]);
  await client.decrypt('kf1.x', { signal });
  await failureOf(client.decrypt('kf1.x', { signal }));
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('a call with a total timeout of 0 ends at once, and Node prints no warning', async () => {
  const warned = vi.spyOn(process, 'emitWarning').mockReturnValue();
  const client = await clientOf(['hang'], { totalTimeoutMs: 0 });
  expect(await failureOf(client.decrypt('kf1.x'))).toMatchObject({ code: 'TimedOut' });
  expect(warned).not.toHaveBeenCalled();
});

it('a call with an aborted signal sends nothing and does not call the authorization function', async () => {
  const authorization = vi.fn<() => Promise<string>>(() => Promise.resolve('Bearer x'));
  const client = new KeyfoldClient({ http: { endpoint: 'http://127.0.0.1:9', authorization } }).partition('p');
  const call = client.decrypt('kf1.x', { signal: AbortSignal.abort(new Error('gone')) });
  await expect(call).rejects.toThrow('gone');
  expect(authorization).not.toHaveBeenCalled();
});

describe('an abort signal from a polyfill', () => {
  it('is accepted by a call', async () => {
    const client = await clientOf([GOOD]);
    expect(await client.decrypt('kf1.x', { signal: new OtherSignal() })).toEqual(HELLO);
  });

  it("ends an attempt with the signal's reason", async () => {
    const client = await clientOf(['hang']);
    const signal = new OtherSignal();
    const call = client.decrypt('kf1.x', { signal }).catch((reason: unknown) => reason);
    await vi.waitFor(() => expect(stub?.requests).toHaveLength(1));
    signal.abort('gone');
    expect(await call).toBe('gone');
    expect(stub?.requests).toHaveLength(1);
  });
});
