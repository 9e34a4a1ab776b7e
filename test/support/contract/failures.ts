import { checkDeadline } from '../../../src/async/deadline.ts';
import type { ContractCase } from '../../../src/testing/index.ts';

/** Returns the names of the cases that fail. */
export async function failuresOf(cases: readonly ContractCase[]): Promise<string[]> {
  const failures: string[] = [];
  for (const { name, run } of cases) await run().catch(() => failures.push(name));
  return failures;
}

/** Whether the only case whose name contains this text fails. Runs no other case. */
export async function failsIn(cases: readonly ContractCase[], part: string): Promise<boolean> {
  const [one, ...others] = cases.filter(({ name }) => name.includes(part));
  if (one === undefined || others.length > 0) throw new Error(`not one case contains "${part}"`);
  return (await failuresOf([one])).length > 0;
}

/** Makes the plug-in asynchronously. Its methods refuse each call whose last argument is not a deadline. */
export function strictly<T extends object>(open: () => T): () => Promise<T> {
  const get = (plugIn: T, name: string | symbol): unknown => {
    const member: unknown = Reflect.get(plugIn, name);
    if (typeof member !== 'function') return member;
    return (...args: unknown[]): unknown => {
      checkDeadline(args.at(-1) as never);
      return Reflect.apply(member, plugIn, args);
    };
  };
  return async () => new Proxy(open(), { get });
}
