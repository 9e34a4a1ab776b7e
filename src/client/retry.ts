import { setTimeout as sleep } from 'node:timers/promises';
import { withDefaults } from '../input/defaults.ts';
import { MAX_TIMER_MS, orAborted } from '../async/deadline.ts';
import { KeyfoldClientError, KeyfoldTransportError } from './errors.ts';

/** How often and for how long a call is tried. */
export interface RetryPolicy {
  /** 4 unless said; 1 turns retries off. */
  readonly maxAttempts: number;
  /** How long one attempt may take: 10 s unless said. */
  readonly attemptTimeoutMs: number;
  /** How long all of them may take, with the waits between them: 30 s unless said. */
  readonly totalTimeoutMs: number;
  /** The first wait is drawn from zero to this, each further one from twice as much: 100 ms unless said. */
  readonly baseDelayMs: number;
  /** What they are drawn from at most: 5 s unless said. What the service asks for comes on top. */
  readonly longestDelayMs: number;
}

/** The policy of who says nothing. */
const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maxAttempts: 4,
  attemptTimeoutMs: 10_000,
  totalTimeoutMs: 30_000,
  baseDelayMs: 100,
  longestDelayMs: 5_000,
};

/**
 * The default policy, but for what is given.
 * @throws TypeError where something given is no length of time and no number of attempts: a timer would take it for none at all;
 * also for a name that is not a policy's
 */
export function retryPolicy(given: Partial<RetryPolicy> = {}): RetryPolicy {
  const policy = withDefaults(DEFAULT_RETRY_POLICY, given, 'retry');
  const wrong = Object.entries(policy).find(([, value]) => !(value >= 0));
  if (wrong !== undefined) throw new TypeError(`The retry policy's ${wrong[0]} is not a number from zero.`);
  return policy;
}

/**
 * Tries until it succeeds, fails in a way that no other try would mend, or has been tried enough. An operation may be done
 * twice so, and no harm is in that: what is sealed twice is two records of which one is used.
 * @param given the caller's; its reason is thrown as soon as it aborts
 * @throws KeyfoldClientError the last failure, or `TimedOut`; also what `attempt` throws that is none
 */
export async function withRetries<T>(
  policy: RetryPolicy,
  given: AbortSignal | undefined,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const endsAtMs = performance.now() + policy.totalTimeoutMs;
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await tryOnce(
        Math.max(0, Math.min(policy.attemptTimeoutMs, endsAtMs - performance.now(), MAX_TIMER_MS)),
        given,
        attempt,
      );
    } catch (error) {
      if (!(error instanceof KeyfoldClientError) || !error.retryable || attempts >= policy.maxAttempts) throw error;
      const delayMs = (error.retryAfterSeconds ?? 0) * 1000 + backOffMs(policy, attempts);
      // Who would wait past the end knows as much now.
      if (performance.now() + delayMs >= endsAtMs || delayMs > MAX_TIMER_MS) throw error;
      await orReason(sleep(delayMs, undefined, given === undefined ? {} : { signal: given }), given);
    }
  }
}

async function tryOnce<T>(
  timeoutMs: number,
  given: AbortSignal | undefined,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  given?.throwIfAborted();
  const over = new AbortController();
  const timer = setTimeout(
    () => over.abort(new KeyfoldTransportError('TimedOut', `There was no answer within ${Math.round(timeoutMs)} ms.`)),
    timeoutMs,
  );
  const signal = given === undefined ? over.signal : AbortSignal.any([given, over.signal]);
  try {
    return await orAborted(attempt(signal), signal);
  } finally {
    clearTimeout(timer);
  }
}

/** The wait behind so many attempts, jittered over its whole length, since others were turned away in the same moment. */
function backOffMs({ baseDelayMs, longestDelayMs }: RetryPolicy, attempts: number): number {
  return Math.random() * Math.min(longestDelayMs, baseDelayMs * 2 ** (attempts - 1));
}

/** Node's timer throws an error of its own where it is aborted. */
async function orReason(waiting: Promise<void>, given: AbortSignal | undefined): Promise<void> {
  await waiting.catch(() => given?.throwIfAborted());
}
