import { expect, it } from 'vitest';
import { MemoryMetastore } from '../../../src/index.ts';
import { runMetastoreContracts } from '../../support/contract/bind.ts';

const shared = new MemoryMetastore();
runMetastoreContracts('memory', () => shared);

it.for([
  ['a number with a fraction', 1.5],
  ['NaN', NaN],
  ['an unsafe integer', 2 ** 53],
  ['a string', '60'],
] as const)('the memory metastore refuses to load a row if the date is %s', async ([, created]) => {
  const metastore = new MemoryMetastore();
  for (const load of ['load', 'loadRecent'] as const) {
    await expect(metastore[load]('_SK_a' as never, created as never)).rejects.toThrow(TypeError);
  }
});
