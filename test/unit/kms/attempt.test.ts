import { expect, it } from 'vitest';
import { deadlineExceeded, type Deadline } from '../../../src/async/deadline.ts';
import { withinAttempt } from '../../../src/kms/attempt.ts';
import { RegionFault } from '../../../src/kms/region-fault.ts';
import { errorOf, noDeadline } from '../../support/fakes.ts';

const LIMITS = { region: 'west', action: 'Decrypt', timeoutMs: 60_000, now: Date.now } as const;
const REFUSED = new RegionFault('west', 'Decrypt', 'misconfigured', 'Refused');

function attempt(work: (attempt: Deadline) => Promise<unknown>, timeoutMs = 60_000): Promise<unknown> {
  return errorOf(withinAttempt({ ...LIMITS, timeoutMs }, noDeadline(), work));
}

it('an attempt returns the result of its work', async () => {
  expect(await withinAttempt(LIMITS, noDeadline(), async () => 'done')).toBe('done');
});

it.for<[string, string, (attempt: Deadline) => Promise<unknown>, number?]>([
  ['that hangs', 'NoAnswerInTime', () => new Promise(() => {}), 10],
  [
    'that fails with its own error when it is aborted',
    'NoAnswerInTime',
    ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')))),
    10,
  ],
  ['whose login takes too long', 'NoAnswerInTime', () => Promise.reject(deadlineExceeded())],
  ['that loses its connection', 'EPIPE', () => Promise.reject(Object.assign(new Error('lost'), { code: 'EPIPE' }))],
])('an attempt %s has the fault class unavailable (%s)', async ([, errorName, work, timeoutMs]) => {
  const fault = await attempt(work, timeoutMs);
  expect(fault).toBeInstanceOf(RegionFault);
  expect(fault).toMatchObject({ region: 'west', action: 'Decrypt', faultClass: 'unavailable', errorName });
});

it('an attempt throws the fault of its region, or the abort reason if its caller aborts the attempt', async () => {
  expect(await attempt(() => Promise.reject(REFUSED))).toBe(REFUSED);
  const reason = new Error('gone');
  const controller = new AbortController();
  const deadline = { ...noDeadline(), signal: controller.signal };
  const ended = errorOf(withinAttempt(LIMITS, deadline, () => new Promise(() => {})));
  controller.abort(reason);
  expect(await ended).toBe(reason);
});

it("the deadline of an attempt is the attempt's timeout or the caller's deadline, whichever comes first", async () => {
  const limits = { ...LIMITS, timeoutMs: 3000, now: () => 1000 };
  const endOf = (atMs: number): Promise<number> =>
    withinAttempt(limits, { ...noDeadline(), atMs }, async (limited) => limited.atMs);
  expect([await endOf(5000), await endOf(3500)]).toEqual([4000, 3500]);
});
