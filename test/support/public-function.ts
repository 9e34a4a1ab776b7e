import { expect } from 'vitest';

/** One function of the public API, with a way to call it. */
interface PublicFunction {
  /** Makes new valid arguments for each call. */
  readonly args: () => Promise<unknown[]> | unknown[];
  readonly call: (...args: never[]) => unknown;
  /** Throws if the result of the function is wrong. */
  readonly holds?: (result: never, args: never) => unknown;
}

/** The functions of a package entry by name, with the methods of its classes. */
export type PublicFunctions = Readonly<Record<string, PublicFunction>>;

/** Asserts that an error has one of the types that public functions throw. */
export function isTold(error: unknown): void {
  if (!(error instanceof TypeError)) expect((error as Error).name).toMatch(/^Keyfold(?:Service|Transport)?Error$/);
}

/** JavaScript's own error messages for values of a wrong type. */
const PLATFORM = /^Cannot |is not (?:a function|iterable|a constructor)|reading '|^The "|Invalid URL/;

/**
 * Asserts what {@link isTold} asserts. A TypeError must also name the parameter, which JavaScript's own TypeErrors do
 * not.
 */
export function isNamed(error: unknown): void {
  isTold(error);
  if (error instanceof TypeError) expect(error.message).not.toMatch(PLATFORM);
}
