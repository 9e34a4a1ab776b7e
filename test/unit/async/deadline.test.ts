import { afterEach, expect, it, vi } from 'vitest';
import { withDeadline } from '../../../src/async/deadline.ts';
import { errorOf } from '../../support/fakes.ts';

afterEach(() => vi.restoreAllMocks());

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
