import { KeyfoldServiceError } from './errors.ts';

/**
 * The JSON text of what a caller gave; undefined for a value without one.
 * @throws KeyfoldServiceError `InvalidRequest`, without asking the service, for a value that is nested too deeply to be written
 * @throws TypeError for a value that holds itself, or a bigint
 */
export function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // JSON.stringify calls itself for each level, and has run out of stack.
    if (!(error instanceof RangeError)) throw error;
    throw new KeyfoldServiceError('InvalidRequest', 'The request is nested too deeply.');
  }
}
