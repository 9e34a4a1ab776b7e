import type { Row, RowSource } from '../../src/maintenance/reencryption/rows.ts';

/** A source that fails after its first page. It calls `meanwhile` before it returns that page. */
export function killedSource(meanwhile: () => void | Promise<void>, firstPage: readonly Row[] = []): RowSource {
  return {
    replace: () => Promise.resolve('written'),
    reread: (row) => Promise.resolve(row),
    position: () => Promise.resolve({}),
    pages: async function* () {
      await meanwhile();
      yield firstPage;
      throw new Error('killed');
    },
  };
}
