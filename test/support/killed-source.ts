import type { RowSource } from '../../src/maintenance/reencryption/rows.ts';

/** A source that fails after its first page, which has no rows. `meanwhile` runs before the page. */
export function killedSource(meanwhile: () => void | Promise<void>): RowSource {
  return {
    replace: () => Promise.resolve('written'),
    reread: (row) => Promise.resolve(row),
    position: () => Promise.resolve({}),
    pages: async function* () {
      await meanwhile();
      yield [];
      throw new Error('killed');
    },
  };
}
