import { setTimeout as sleep } from 'node:timers/promises';
import { check, FUNCTION, optional, optionsOf, type Types } from '../input/checks.ts';
import { KeyfoldError, type ErrorCode } from '../errors.ts';
import { noDeadline, type Deadline } from '../async/deadline.ts';

/** One case of a contract. Any test framework can run it: the function rejects if the plug-in breaks the contract. */
export interface ContractCase {
  /** What the case tests, as a sentence. */
  readonly name: string;
  readonly run: () => Promise<void>;
}

/**
 * Makes a plug-in. The cases treat each plug-in as a separate process, and all of these processes use the same service.
 * The function may be asynchronous.
 */
export type Opener<T> = () => T | Promise<T>;

/** Options of a contract. Each option causes a fault that only a plug-in's author can cause. */
export interface ContractOptions<T> {
  /** Makes a plug-in whose service is down. If this function is absent, the contract has no cases about outages. */
  readonly openFailing?: Opener<T>;
  /**
   * Makes a plug-in whose service accepts calls and never responds. If this function is absent, the contract has no
   * case about such a service.
   */
  readonly openHanging?: Opener<T>;
}

export const CONTRACT_OPTIONS: Types<ContractOptions<unknown>> = {
  openFailing: optional(FUNCTION),
  openHanging: optional(FUNCTION),
};

/**
 * A call of a method of a plug-in, with its name. If the method is optional and the plug-in lacks it, the call returns
 * undefined.
 */
export type Call<T> = readonly [name: string, call: (plugIn: T, deadline: Deadline) => Promise<unknown> | undefined];

/**
 * If the service never responds, the contract aborts each call after `ABORT_AFTER_MS`. The call must then end within
 * `END_WITHIN_MS`.
 */
const ABORT_AFTER_MS = 50;
const END_WITHIN_MS = 2000;

/** @throws TypeError if an argument of a contract has the wrong type, or if an option is unknown */
export function checkedOptions<O extends object>(open: unknown, options: O, types: Types<NoInfer<O>>): O {
  check(open, 'open', FUNCTION);
  return optionsOf<O>(options, 'options', types);
}

/** A case that needs an optional function. The contract contains the case only if the author passes this function. */
export function caseWith<F>(given: F | undefined, name: string, run: (given: F) => Promise<void>): ContractCase[] {
  return given === undefined ? [] : [{ name, run: () => run(given) }];
}

/**
 * Checks that a promise rejects with a KeyfoldError that has one of the given codes, and returns the error.
 * @throws Error that says what happened instead
 */
export async function mustFailWith(
  work: Promise<unknown>,
  what: string,
  codes: readonly ErrorCode[],
): Promise<KeyfoldError> {
  const cause: unknown = await work.then(
    () => 'It has resolved.',
    (error: unknown) => error,
  );
  if (cause instanceof KeyfoldError && codes.includes(cause.code)) return cause;
  throw new Error(`${what} must reject with a KeyfoldError of the code ${codes.join(' or ')}.`, { cause });
}

/** Returns the calls that a case makes. The function may use another plug-in to prepare them. */
type Calls<T> = () => readonly Call<T>[] | Promise<readonly Call<T>[]>;

/** The case that checks that an aborted deadline ends each of the given calls. */
export function abortCase<T>(open: Opener<T>, calls: Calls<T>): ContractCase {
  return {
    name: 'answers a call under an aborted deadline, or rejects with the reason of its signal',
    run: async () => {
      const plugIn = await open();
      const reason = new KeyfoldError('DeadlineExceeded', 'The contract has aborted this call.');
      for (const [name, call] of await calls()) {
        await mustHonour(reason, call(plugIn, { ...noDeadline(), signal: AbortSignal.abort(reason) }), name);
        const controller = new AbortController();
        const begun = call(plugIn, { ...noDeadline(), signal: controller.signal });
        controller.abort(reason);
        await mustHonour(reason, begun, name);
      }
    },
  };
}

async function mustHonour(reason: Error, work: Promise<unknown> | undefined, name: string): Promise<void> {
  await work?.catch((cause: unknown) => {
    if (cause === reason) return;
    throw new Error(`${name} must reject with the reason of an aborted signal.`, { cause });
  });
}

/** The case that checks that an abort ends each of the given calls, although the service never responds. */
export function hangCases<T>(openHanging: Opener<T> | undefined, calls: Calls<T>): ContractCase[] {
  const name = 'rejects with the reason of the signal if the deadline passes while its service does not answer';
  return caseWith(openHanging, name, async (open) => {
    for (const [called, call] of await calls()) {
      const controller = new AbortController();
      const reason = new KeyfoldError('DeadlineExceeded', 'The contract has aborted this call.');
      const work = call(await open(), { ...noDeadline(), signal: controller.signal });
      if (work === undefined) continue;
      const outcome = work.then(
        () => 'It has resolved.',
        (error: unknown) => error,
      );
      await sleep(ABORT_AFTER_MS);
      controller.abort(reason);
      const timer = new AbortController();
      const late = sleep(END_WITHIN_MS, 'It has not ended.', { signal: timer.signal }).catch(() => undefined);
      const cause = await Promise.race([outcome, late]);
      timer.abort();
      if (cause === reason) continue;
      throw new Error(`${called} must reject with the reason of the signal within two seconds.`, { cause });
    }
  });
}
