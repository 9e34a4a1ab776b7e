import { afterEach, expect, it, vi } from 'vitest';
import { withDeadline } from '../../../src/async/deadline.ts';
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
