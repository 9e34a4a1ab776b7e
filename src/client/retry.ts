import { setTimeout as sleep } from 'node:timers/promises';
import { withDefaults } from '../input/defaults.ts';
import { MAX_TIMER_MS, orAborted } from '../async/deadline.ts';
import { KeyfoldClientError, KeyfoldTransportError } from './errors.ts';

/** How many attempts a call gets, and how long they may take. */
export interface RetryPolicy {
  /** Attempts per call, including the first. Default: 4. With 1 there are no retries. */
  readonly maxAttempts: number;
  /** Milliseconds that one attempt may take. Default 10,000. */
  readonly attemptTimeoutMs: number;
  /** Milliseconds that all attempts and the delays between them may take. Default 30,000. */
  readonly totalTimeoutMs: number;
  /**
   * Upper bound of the random delay before the first retry, in milliseconds. The bound doubles with each retry. Default
   * 100.
   */
  readonly baseDelayMs: number;
  /**
   * The doubling of the upper bound stops at this many milliseconds. Default 5,000. The service's `retry-after` is
   * added to the random delay.
   */
  readonly longestDelayMs: number;
}

const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maxAttempts: 4,
  attemptTimeoutMs: 10_000,
  totalTimeoutMs: 30_000,
  baseDelayMs: 100,
  longestDelayMs: 5_000,
};

/**
 * Returns the caller's policy. A value that the caller omits has its default.
 * @throws TypeError if a value is not a number of at least 0, or if the policy has no value with that name. Node's
 * timers would treat NaN or a negative number as 1 ms.
 */
export function retryPolicy(given: Partial<RetryPolicy> = {}): RetryPolicy {
  const policy = withDefaults(DEFAULT_RETRY_POLICY, given, 'retry');
  const wrong = Object.entries(policy).find(([, value]) => !(value >= 0));
  if (wrong !== undefined) throw new TypeError(`The retry policy's ${wrong[0]} is not a number of at least 0.`);
  return policy;
}

/**
 * Repeats an attempt until it succeeds, until it fails with an error that is not retryable, or until the policy allows
 * no more attempts. If a response is lost, Keyfold may therefore perform the operation twice. That is harmless: two
 * encryptions make two records, and the caller receives one of them.
 * @param callerSignal if it aborts, the function throws its reason immediately
 * @throws KeyfoldClientError of the last attempt, with code `TimedOut` if it got no response in time
 * @throws any other error of `attempt`, without a retry
 */
export async function withRetries<T>(
  policy: RetryPolicy,
  callerSignal: AbortSignal | undefined,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const endsAtMs = performance.now() + policy.totalTimeoutMs;
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await tryOnce(
        Math.max(0, Math.min(policy.attemptTimeoutMs, endsAtMs - performance.now(), MAX_TIMER_MS)),
        callerSignal,
        attempt,
      );
    } catch (error) {
      if (!(error instanceof KeyfoldClientError) || !error.retryable || attempts >= policy.maxAttempts) throw error;
      const delayMs = (error.retryAfterSeconds ?? 0) * 1000 + backOffMs(policy, attempts);
      // Fail now if no time for an attempt would be left after the delay.
      if (performance.now() + delayMs >= endsAtMs || delayMs > MAX_TIMER_MS) throw error;
      await orReason(
        sleep(delayMs, undefined, callerSignal === undefined ? {} : { signal: callerSignal }),
        callerSignal,
      );
    }
  }
}

async function tryOnce<T>(
  timeoutMs: number,
  callerSignal: AbortSignal | undefined,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  callerSignal?.throwIfAborted();
  const controller = new AbortController();
  // Do not use AbortSignal.any, because it refuses a signal of another realm or of a polyfill.
  const abort = (): void => controller.abort(callerSignal?.reason);
  callerSignal?.addEventListener('abort', abort, { once: true });
  const timer = setTimeout(() => {
    controller.abort(new KeyfoldTransportError('TimedOut', `No answer arrived within ${Math.round(timeoutMs)} ms.`));
  }, timeoutMs);
  try {
    return await orAborted(attempt(controller.signal), controller.signal);
  } finally {
    clearTimeout(timer);
    callerSignal?.removeEventListener('abort', abort);
  }
}

/**
 * Returns the delay after a number of attempts, in milliseconds. The delay has full jitter, because many clients may
 * have been throttled at the same moment.
 */
function backOffMs({ baseDelayMs, longestDelayMs }: RetryPolicy, attempts: number): number {
  return Math.random() * Math.min(longestDelayMs, baseDelayMs * 2 ** (attempts - 1));
}

/**
 * Waits for a delay. If the caller's signal ends the delay, throws that signal's reason instead of Node's AbortError.
 */
async function orReason(waiting: Promise<void>, callerSignal: AbortSignal | undefined): Promise<void> {
  await waiting.catch(() => callerSignal?.throwIfAborted());
}
