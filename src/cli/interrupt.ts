import type { CliDependencies } from './dependencies.ts';

/**
 * Runs work, and lets a signal such as Ctrl+C stop the work between two writes. The audit lines must be part of the
 * work, so that the audit log is complete when the process ends.
 * @param work receives an `AbortSignal`. Once the signal aborts, the work stops and throws the signal's reason. Work
 * with a single write may ignore the signal.
 */
export async function interruptible<T>(
  { onInterrupt }: CliDependencies,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const interruption = new AbortController();
  const release = onInterrupt?.((signal) => interruption.abort(new Error(`${signal} ended the run.`)));
  try {
    return await work(interruption.signal);
  } finally {
    release?.();
  }
}
