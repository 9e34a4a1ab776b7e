import type { Clock } from '../async/clock.ts';
import { KeyfoldError } from '../errors.ts';
import { toKeyfoldError } from './problem.ts';

/** How long the result of a check is reused, in milliseconds. */
const RESULT_AGE_MS = 5000;
/** The longest time that a check may take. */
const CHECK_TIMEOUT_MS = 5000;

/** Resolves if Keyfold can serve requests. `remainingMs` is the time that the caller has left. */
export type Readiness = (remainingMs: number) => Promise<void>;

/**
 * Makes a function that checks whether Keyfold can serve requests. Concurrent callers share one check, and its result
 * is reused for five seconds, so that frequent checks cannot overload KMS and the table.
 * @param check throws if Keyfold cannot serve requests. It must end by `deadlineAtMs`.
 */
export function readiness(check: (limits: { deadlineAtMs: number }) => Promise<void>, now: Clock): Readiness {
  let running: Promise<void> | undefined;
  let last: { readonly atMs: number; readonly failure: KeyfoldError | undefined } | undefined;
  const run = async (remainingMs: number): Promise<void> => {
    const deadlineAtMs = now() + Math.min(remainingMs, CHECK_TIMEOUT_MS);
    const failure = await check({ deadlineAtMs }).then(() => undefined, notReady);
    last = { atMs: now(), failure };
    running = undefined;
  };
  return async (remainingMs) => {
    // Use the absolute value, because a clock may be set back.
    if (last === undefined || Math.abs(now() - last.atMs) >= RESULT_AGE_MS) {
      running ??= run(remainingMs);
      await running;
    }
    if (last?.failure !== undefined) throw last.failure;
  };
}

/** The error of a failed check. Both its detail and the reason in the log name the failure's error code. */
function notReady(thrown: unknown): KeyfoldError {
  const cause = toKeyfoldError(thrown);
  return new KeyfoldError('NotReady', `Keyfold cannot serve requests now: ${cause.code}. ${cause.message}`, { cause });
}
