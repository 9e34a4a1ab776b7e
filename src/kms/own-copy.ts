import { viewOf } from '../input/checks.ts';

/**
 * Runs work on a copy of a key, because the caller may overwrite the key before the work ends. Zeroes the copy. The
 * copy is in memory of its own, so it can be sent to another thread.
 */
export async function onCopyOf<T>(key: Uint8Array, work: (copy: Uint8Array) => Promise<T>): Promise<T> {
  const copy = Uint8Array.from(viewOf(key));
  try {
    return await work(copy);
  } finally {
    copy.fill(0);
  }
}
