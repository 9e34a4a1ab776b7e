import { setTimeout as sleep } from 'node:timers/promises';
import { KeyfoldError } from '../../errors.ts';
import { SourceFault } from './rows.ts';

/**
 * With these constants, the delays between the attempts add up to about half a minute. If the error persists, the run
 * stops.
 */
const MAX_ATTEMPTS = 9;
const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 10_000;

/**
 * Repeats the work while its error is transient.
 * @param signal if it aborts between two attempts, its reason is thrown
 * @param isFinal whether the caller does not want to wait for the end of a transient error
 */
export async function retried<T>(
  work: () => Promise<T>,
  signal?: AbortSignal,
  isFinal = (_error: unknown): boolean => false,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const mayPass = error instanceof SourceFault ? error.mayPass : error instanceof KeyfoldError && error.retryable;
      if (!mayPass || attempt === MAX_ATTEMPTS || isFinal(error)) throw error;
      const delayMs = Math.min(MAX_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt) * (0.5 + Math.random() / 2);
      await sleep(delayMs, undefined, { signal }).catch(() => {});
      signal?.throwIfAborted();
    }
  }
}
