import type { ErasureTables } from '../../src/maintenance/erasure-table.ts';

/**
 * Wraps the access to a key table so that the n-th write fails, before or after the table has carried it out.
 * @param fail makes the write fail. By default, it throws an error, as if the process had been killed
 */
export function failingAt(
  real: ErasureTables,
  n: number,
  when: 'before' | 'after',
  fail: () => Promise<void> = killed,
): ErasureTables {
  let writes = 0;
  const failing =
    <A extends unknown[], T>(write: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      writes += 1;
      const isNow = writes === n;
      if (isNow && when === 'before') await fail();
      const result = await write(...args);
      if (isNow && when === 'after') await fail();
      return result;
    };
  const { register } = real;
  return {
    regions: () => real.regions(),
    clockOffsetMs: () => real.clockOffsetMs(),
    copies: (region, existedAt) => real.copies(region, existedAt),
    register: {
      list: () => register.list(),
      add: failing((entry) => register.add(entry)),
      update: failing((entry) => register.update(entry)),
      remove: failing((entry) => register.remove(entry)),
    },
    at: (region) => {
      const table = real.at(region);
      return {
        rows: (selection) => table.rows(selection),
        store: failing((record) => table.store(record)),
        mark: failing((row, mark) => table.mark(row, mark)),
        remove: failing((row) => table.remove(row)),
      };
    },
  };
}

function killed(): Promise<never> {
  throw new Error('killed');
}

/**
 * For each kill: the step, the number of the write, and whether the command is killed before or after this write. For
 * example, `begin` writes the register entry, one tombstone and two marks, and `finish` makes two deletions and writes
 * the register entry.
 */
export const KILLS = (['before', 'after'] as const).flatMap((when) =>
  [
    ['begin', 4],
    ['cancel', 4],
    ['finish', 3],
  ].flatMap(([step, writes]) => Array.from({ length: Number(writes) }, (_, i) => [String(step), i + 1, when] as const)),
);
