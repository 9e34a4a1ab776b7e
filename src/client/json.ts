import { KeyfoldServiceError } from './errors.ts';

/**
 * Returns the JSON text of a caller's value, or undefined for a function, a symbol or undefined.
 * @param name the parameter's name, for the error
 * @param replacer as for JSON.stringify
 * @throws KeyfoldServiceError `InvalidRequest` if the value is nested too deeply for JSON.stringify. Nothing is sent.
 * @throws TypeError if the value contains itself or a bigint, or if the replacer throws
 */
export function jsonOf(
  value: unknown,
  name = 'request',
  replacer?: (this: unknown, name: string, value: unknown) => unknown,
): string | undefined {
  try {
    return JSON.stringify(value, replacer);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw new TypeError(`${name} has no JSON form.`, { cause });
    // JSON.stringify is recursive: a RangeError means that the stack overflowed.
    throw new KeyfoldServiceError('InvalidRequest', 'The request is nested too deeply.');
  }
}
