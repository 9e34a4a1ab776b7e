import { expect, it } from 'vitest';
import { MemoryMetastore } from '../../../src/index.ts';
import { runMetastoreContracts } from '../../support/contract/bind.ts';

const shared = new MemoryMetastore();
runMetastoreContracts('memory', () => shared);

it.for([1.5, Number.NaN, 2 ** 53, '60'])(
  'the memory metastore refuses to load a row with the date %s',
  async (created) => {
    const metastore = new MemoryMetastore();
    for (const load of ['load', 'loadRecent'] as const) {
      await expect(metastore[load]('_SK_a' as never, created as never)).rejects.toThrow(TypeError);
    }
  },
);
