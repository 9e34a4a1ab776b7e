import type { Clock } from '../async/clock.ts';
import { orAborted, withDeadline, type Deadline } from '../async/deadline.ts';
import { errorNameOf, KeyfoldError } from '../errors.ts';
import { RegionFault, type KmsAction } from './region-fault.ts';

/** The limits of one attempt to call a KMS other than AWS KMS. */
export interface AttemptLimits {
  /** The name of the address or the token, for error messages. */
  readonly region: string;
  readonly action: KmsAction;
  readonly timeoutMs: number;
  readonly now: Clock;
}

/**
 * Runs one attempt under its own timeout and under the deadline of the caller.
 * @throws RegionFault if the attempt fails, or the reason of the caller's signal if the signal aborts
 */
export async function withinAttempt<T>(
  { region, action, timeoutMs, now }: AttemptLimits,
  deadline: Deadline,
  work: (attempt: Deadline) => Promise<T>,
): Promise<T> {
  const limits = { deadlineAtMs: Math.min(deadline.atMs, now() + timeoutMs), signal: deadline.signal };
  return withDeadline(limits, now, async (attempt) => {
    try {
      return await orAborted(work(attempt), attempt.signal);
    } catch (error) {
      deadline.signal.throwIfAborted();
      if (error instanceof RegionFault) throw error;
      const isOver = attempt.signal.aborted || error instanceof KeyfoldError;
      throw new RegionFault(region, action, 'unavailable', isOver ? 'NoAnswerInTime' : errorNameOf(error));
    }
  });
}
