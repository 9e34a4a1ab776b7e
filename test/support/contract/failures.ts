import type { ContractCase } from '../../../src/testing/index.ts';

/** Returns the names of the cases that fail. */
export async function failuresOf(cases: readonly ContractCase[]): Promise<string[]> {
  const failures: string[] = [];
  for (const { name, run } of cases) await run().catch(() => failures.push(name));
  return failures;
}
