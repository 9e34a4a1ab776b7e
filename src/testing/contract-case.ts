import { check, FUNCTION, optional, optionsOf, type Types } from '../input/checks.ts';
import { KeyfoldError, type ErrorCode } from '../errors.ts';
import type { Deadline } from '../async/deadline.ts';
import { noDeadline } from './hand-clock.ts';

/** One case of a contract. Any test framework can run it: the function rejects if the plug-in breaks the contract. */
export interface ContractCase {
  /** What the case tests, as a sentence. */
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** Makes a plug-in, or a connection of another process to the same service. It may be asynchronous. */
export type Opener<T> = () => T | Promise<T>;

/** Options of a contract. */
export interface ContractOptions<T> {
  /** Makes a plug-in whose service does not respond. Without it, the cases about outages are omitted. */
  readonly openFailing?: Opener<T>;
}

export const CONTRACT_OPTIONS: Types<ContractOptions<unknown>> = { openFailing: optional(FUNCTION) };

/** @throws TypeError if an argument of a contract has a wrong type, or for an unknown option */
export function checkedOptions<O extends object>(open: unknown, options: O, types: Types<NoInfer<O>>): O {
  check(open, 'open', FUNCTION);
  return optionsOf<O>(options, 'options', types);
}

/** Checks that work rejects with a KeyfoldError of one of these codes. @throws Error with what happened instead */
export async function mustFailWith(work: Promise<unknown>, what: string, codes: readonly ErrorCode[]): Promise<void> {
  const cause: unknown = await work.then(
    () => 'It has resolved.',
    (error: unknown) => error,
  );
  if (cause instanceof KeyfoldError && codes.includes(cause.code)) return;
  throw new Error(`${what} must reject with a KeyfoldError of the code ${codes.join(' or ')}.`, { cause });
}

/**
 * Checks that a call under an aborted deadline either returns or rejects with the signal's reason.
 * @throws Error if the call rejects with anything else
 */
export async function mustHonourAbort(call: (deadline: Deadline) => Promise<unknown>, what: string): Promise<void> {
  const reason = new KeyfoldError('DeadlineExceeded', 'The contract has aborted this call.');
  const aborted = { ...noDeadline(), signal: AbortSignal.abort(reason) };
  await call(aborted).catch((cause: unknown) => {
    if (cause === reason) return;
    throw new Error(`${what} must reject with the reason of an aborted signal.`, { cause });
  });
}
