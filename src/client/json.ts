import { KeyfoldServiceError } from './errors.ts';

/**
 * The JSON text of what a caller gave; undefined for a value without one.
 * @throws KeyfoldServiceError `InvalidRequest`, without asking the service, for a value that is nested too deeply to be written
 * @throws TypeError naming the parameter, for a value that holds itself, or a bigint
 */
export function jsonOf(value: unknown, name = 'request'): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw new TypeError(`${name} has no JSON.`, { cause });
    // JSON.stringify calls itself for each level, and has run out of stack.
    throw new KeyfoldServiceError('InvalidRequest', 'The request is nested too deeply.');
  }
}
