import { getEventListeners } from 'node:events';
import { afterEach, expect, it, vi } from 'vitest';
import { orAborted, withDeadline } from '../../../src/async/deadline.ts';
import { errorOf } from '../../support/fakes.ts';

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

it('a deadline that is past is told at once, and no timer is set for it', async () => {
  const timer = vi.spyOn(globalThis, 'setTimeout');
  const work = withDeadline(
    { deadlineAtMs: 5 },
    () => 10,
    ({ signal }) => Promise.reject(signal.reason as Error),
  );
  expect(await errorOf(work)).toMatchObject({ code: 'DeadlineExceeded' });
  expect(timer).not.toHaveBeenCalled();
});

it.for([2 ** 31 - 1, 2 ** 31, 2 ** 40])(
  'a deadline that is %i ms away has not come after a second',
  async (delayMs) => {
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
  },
);

it('work that goes on ends for its waiter at once if the signal is aborted already', async () => {
  const reason = new Error('no longer wanted');
  expect(await errorOf(orAborted(new Promise(() => {}), AbortSignal.abort(reason)))).toBe(reason);
});

it('work that has ended leaves no listener on the signal', async () => {
  const { signal } = new AbortController();
  await orAborted(Promise.resolve(), signal);
  await errorOf(orAborted(Promise.reject(new Error('failed')), signal));
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});
