import { expect } from 'vitest';

/** A public function as a caller uses it. */
interface PublicFunction {
  /** Arguments that are right, made anew. */
  readonly args: () => Promise<unknown[]> | unknown[];
  readonly call: (...args: never[]) => unknown;
  /** Fails unless what the function gave does what it is for. */
  readonly holds?: (result: never, args: never) => unknown;
}

/** The cases of a module, by the names of its functions and of the methods of its classes. */
export type PublicFunctions = Readonly<Record<string, PublicFunction>>;

/** That an error is one of those that a public function throws. */
export function isTold(error: unknown): void {
  if (!(error instanceof TypeError)) expect((error as Error).name).toMatch(/^Keyfold(?:Service|Transport)?Error$/);
}

/** The platform's own words for a value of a wrong type. */
const PLATFORM = /^Cannot |is not (?:a function|iterable|a constructor)|reading '|^The "|Invalid URL/;

/** {@link isTold}, and that it names the parameter. */
export function isNamed(error: unknown): void {
  isTold(error);
  if (error instanceof TypeError) expect(error.message).not.toMatch(PLATFORM);
}
