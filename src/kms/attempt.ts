import type { Clock } from '../async/clock.ts';
import { orAborted, type Deadline } from '../async/deadline.ts';
import { errorNameOf, KeyfoldError } from '../errors.ts';
import { RegionFault, type KmsAction } from './region-fault.ts';

/** One attempt at a KMS that is not AWS. */
export interface AttemptLimits {
  /** The name of the address or of the token, in faults. */
  readonly region: string;
  readonly action: KmsAction;
  readonly timeoutMs: number;
  readonly now: Clock;
}

/**
 * Runs one attempt, which has a time-out of its own.
 * @throws RegionFault if the attempt fails, or the reason of the caller's signal if that aborts
 */
export async function withinAttempt<T>(
  { region, action, timeoutMs, now }: AttemptLimits,
  deadline: Deadline,
  work: (attempt: Deadline) => Promise<T>,
): Promise<T> {
  const signal = AbortSignal.any([deadline.signal, AbortSignal.timeout(timeoutMs)]);
  const attempt = { atMs: Math.min(deadline.atMs, now() + timeoutMs), signal };
  try {
    return await orAborted(work(attempt), signal);
  } catch (error) {
    deadline.signal.throwIfAborted();
    if (error instanceof RegionFault) throw error;
    const isOver = signal.aborted || error instanceof KeyfoldError;
    throw new RegionFault(region, action, 'unavailable', isOver ? 'NoAnswerInTime' : errorNameOf(error));
  }
}
