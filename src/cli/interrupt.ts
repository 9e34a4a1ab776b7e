import type { CliDependencies } from './dependencies.ts';

/**
 * Runs work that a signal such as Ctrl+C ends between two writes.
 * @param work stops with the signal's reason once the signal aborts
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
