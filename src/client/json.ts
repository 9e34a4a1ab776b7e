import { KeyfoldServiceError } from './errors.ts';

/**
 * Returns the JSON text of a caller's value, or undefined for a function, a symbol or undefined.
 * @param name the parameter's name, for the error
 * @throws KeyfoldServiceError `InvalidRequest` if the value is nested too deeply for JSON.stringify. Nothing is sent.
 * @throws TypeError if the value contains itself or a bigint
 */
export function jsonOf(value: unknown, name = 'request'): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw new TypeError(`${name} has no JSON form.`, { cause });
    // JSON.stringify is recursive: a RangeError means that the stack overflowed.
    throw new KeyfoldServiceError('InvalidRequest', 'The request is nested too deeply.');
  }
}
