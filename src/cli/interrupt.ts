import type { CliDependencies } from './dependencies.ts';

/**
 * Runs work that a signal such as Ctrl+C ends between two writes. The work includes the audit lines before and after
 * the writes, so that a signal ends the process only when the audit is complete.
 * @param work stops with the signal's reason once the signal aborts. Work with a single write may ignore the signal.
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
