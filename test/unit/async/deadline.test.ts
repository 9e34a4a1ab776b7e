import { getEventListeners } from 'node:events';
import { afterEach, expect, it, vi } from 'vitest';
import {
  checkDeadline,
  deadlineExceeded,
  orAborted,
  RequestDeadlines,
  withDeadline,
  type RequestLimits,
} from '../../../src/async/deadline.ts';
import { SingleFlight } from '../../../src/async/single-flight.ts';
import { errorOf } from '../../support/fakes.ts';

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

it.for([
  ['has passed', 9],
  ['is now', 10],
] as const)('withDeadline aborts at once if the deadline %s', async ([, deadlineAtMs]) => {
  const timer = vi.spyOn(globalThis, 'setTimeout');
  const work = withDeadline(
    { deadlineAtMs },
    () => 10,
    ({ signal }) => Promise.reject(signal.reason as Error),
  );
  expect(await errorOf(work)).toMatchObject({ code: 'DeadlineExceeded' });
  expect(timer).not.toHaveBeenCalled();
});

it('a deadline that has passed causes an error that says so and is retryable', () => {
  const message = 'The time for this request is up.';
  expect(deadlineExceeded()).toMatchObject({ code: 'DeadlineExceeded', message, retryable: true });
});

it('checkDeadline refuses an object without a valid time or without a signal', () => {
  const { signal } = new AbortController();
  for (const atMs of [0, 1.5, Infinity]) expect(() => checkDeadline({ atMs, signal })).not.toThrow();
  for (const wrong of [{}, { atMs: 1 }, { signal }, { atMs: NaN, signal }, { atMs: '1', signal }]) {
    expect(() => checkDeadline(wrong as never)).toThrow(
      new TypeError('deadline must be a deadline with atMs and signal, not another object.'),
    );
  }
});

it.for([
  ['succeeds', async () => {}],
  ['fails', () => Promise.reject(new Error('failed'))],
] as const)('withDeadline leaves no timer and no listener after work that %s', async ([, work]) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const { signal } = new AbortController();
  let timers = 0;
  const worked = withDeadline(
    { deadlineAtMs: 1000, signal },
    () => 0,
    () => {
      timers = vi.getTimerCount();
      return work();
    },
  );
  await worked.catch(() => {});
  expect([timers, vi.getTimerCount()]).toEqual([1, 0]);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it.for([
  ['as far away as setTimeout supports', 2 ** 31 - 1],
  ['one millisecond further away than setTimeout supports', 2 ** 31],
  ['more than 30 years away', 2 ** 40],
] as const)('withDeadline does not abort early if the deadline is %s', async ([, delayMs]) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const work = withDeadline(
    { deadlineAtMs: delayMs },
    () => 0,
    async ({ signal }) => {
      await vi.advanceTimersByTimeAsync(1000);
      return signal.aborted;
    },
  );
  expect(await work).toBe(false);
});

it.for([
  ['forward', 3_600_000],
  ['back', -3_600_000],
] as const)('a deadline leaves as much time as before if the clock jumps %s an hour', async ([, stepMs]) => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
  await withDeadline({ deadlineAtMs: Date.now() + 1000 }, Date.now, async (deadline) => {
    const flights = new SingleFlight(500, Date.now);
    await flights.run('a load', deadline, async (flight) => {
      vi.setSystemTime(Date.now() + stepMs);
      expect([deadline.atMs - Date.now(), flight.atMs - Date.now()]).toEqual([1000, 500]);
      vi.advanceTimersByTime(100);
      expect([deadline.atMs - Date.now(), flight.atMs - Date.now()]).toEqual([900, 400]);
    });
  });
});

it('SingleFlight starts no load for a caller whose deadline has already passed', async () => {
  const flights = new SingleFlight<void>(500, Date.now);
  const load = vi.fn<() => Promise<void>>(async () => {});
  const late = withDeadline({ deadlineAtMs: 0 }, Date.now, (deadline) => flights.run('a load', deadline, load));
  expect(await errorOf(late)).toMatchObject({ code: 'DeadlineExceeded' });
  await new Promise(setImmediate);
  expect(load).not.toHaveBeenCalled();
});

it.for([
  ['succeeded', undefined],
  ['failed', new Error('failed')],
] as const)('SingleFlight does not abort the signal of a load that has %s', async ([, error]) => {
  const flights = new SingleFlight<AbortSignal>(500, Date.now);
  const signals: AbortSignal[] = [];
  const load = async ({ signal }: { readonly signal: AbortSignal }): Promise<AbortSignal> => {
    signals.push(signal);
    if (error !== undefined) throw error;
    return signal;
  };
  await withDeadline({}, Date.now, (deadline) => flights.run('a load', deadline, load)).catch(() => {});
  await new Promise(setImmediate);
  expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
});

it('when the signal aborts, RequestDeadlines aborts running work even if other work with the same limits has ended', async () => {
  const deadlines = new RequestDeadlines(() => 0);
  const controller = new AbortController();
  const limits = { signal: controller.signal };
  const hanging = deadlines.within(limits, ({ signal }) => orAborted(new Promise(() => {}), signal));
  await deadlines.within(limits, async () => {});
  const reason = new Error('no longer wanted');
  controller.abort(reason);
  expect(await errorOf(hanging)).toBe(reason);
});

it.for<[string, RequestLimits]>([
  ['deadline', { deadlineAtMs: 0 }],
  ['signal', { signal: AbortSignal.abort(deadlineExceeded()) }],
])('RequestDeadlines applies the new %s of limits that a caller changes while work is running', async ([, changes]) => {
  const deadlines = new RequestDeadlines(() => 1);
  const limits: RequestLimits = { deadlineAtMs: 2000 };
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  const first = deadlines.within(limits, async ({ signal }) => {
    await ended;
    return signal.aborted;
  });
  Object.assign(limits, changes);
  const second = (async () => deadlines.within(limits, ({ signal }) => orAborted(first, signal)))();
  expect(await errorOf(second)).toMatchObject({ code: 'DeadlineExceeded' });
  end();
  expect(await first).toBe(false);
  expect(await deadlines.within({ deadlineAtMs: 2000 }, async ({ signal }) => signal.aborted)).toBe(false);
});

it('RequestDeadlines leaves no listener on the signal after all work has ended', async () => {
  const deadlines = new RequestDeadlines(() => 0);
  const { signal } = new AbortController();
  const limits = { signal };
  await Promise.all([1, 2].map((i) => deadlines.within(limits, async () => i)));
  await new Promise(setImmediate);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('a deadline also ends work that begins after all earlier work under the deadline has ended', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const controller = new AbortController();
  const limits = { deadlineAtMs: 1000, signal: controller.signal };
  const deadlines = new RequestDeadlines(() => 0);
  await deadlines.within(limits, async () => {});
  expect(vi.getTimerCount()).toBe(0);
  const late = deadlines.within(limits, ({ signal }) => orAborted(new Promise(() => {}), signal));
  vi.advanceTimersByTime(1000);
  expect(await errorOf(late)).toMatchObject({ code: 'DeadlineExceeded' });
  const cancelled = deadlines.within(limits, ({ signal }) => orAborted(new Promise(() => {}), signal));
  const reason = new Error('the caller went away');
  controller.abort(reason);
  expect(await errorOf(cancelled)).toBe(reason);
});

it('orAborted rejects at once if the signal is already aborted', async () => {
  const reason = new Error('no longer wanted');
  expect(await errorOf(orAborted(new Promise(() => {}), AbortSignal.abort(reason)))).toBe(reason);
});

it('orAborted leaves no listener on the signal after the work has ended', async () => {
  const { signal } = new AbortController();
  await orAborted(Promise.resolve(), signal);
  await errorOf(orAborted(Promise.reject(new Error('failed')), signal));
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('a thousand waiters for one signal share one listener, and all stop waiting when the signal aborts', async () => {
  const controller = new AbortController();
  const { signal } = controller;
  const hang = new Promise(() => {});
  const waiting = Array.from({ length: 1000 }, () => orAborted(hang, signal));
  const limited = Array.from({ length: 1000 }, () =>
    withDeadline({ signal }, Date.now, (deadline) => orAborted(hang, deadline.signal)),
  );
  expect(getEventListeners(signal, 'abort')).toHaveLength(1);
  controller.abort('gone');
  const outcomes = await Promise.allSettled([...waiting, ...limited]);
  expect(new Set(outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason as unknown))).toEqual(
    new Set(['gone']),
  );
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});
