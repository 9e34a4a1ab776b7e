import { expect, it } from 'vitest';
import { MemoryMetastore } from '../../../src/index.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { runMetastoreContracts } from '../../support/contract/bind.ts';

const shared = new MemoryMetastore();
runMetastoreContracts('memory', () => shared);

const filled = (): Buffer => Buffer.alloc(32, 7);

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

it('the memory metastore keeps its rows unchanged even if callers change records that they stored or loaded', async () => {
  const erased = { erase: 'e', at: keyRecord('', 60).created, due: keyRecord('', 120).created, proof: filled() };
  const parent = { ...keyRecord('_SK_svc_prod', 60) };
  const record = keyRecord('_IK_p_svc_prod', 60, { encryptedKey: filled(), proof: filled(), erased, parent });
  const stored = structuredClone(record);
  const metastore = new MemoryMetastore();
  await metastore.store(record);
  const spoil = (row: typeof record | undefined): void => {
    for (const bytes of [row?.encryptedKey, row?.proof, row?.erased?.proof]) bytes?.fill(0);
    Object.assign(row?.parent ?? {}, { created: 1 });
    Object.assign(row?.erased ?? {}, { due: 1 });
  };
  spoil(record);
  spoil(await metastore.load(record.id, record.created));
  const found = await metastore.load(record.id, record.created);
  expect(found?.erased).toMatchObject({ erase: 'e', at: 60, due: 120 });
  for (const bytes of [found?.encryptedKey, found?.proof, found?.erased?.proof]) expect(bytes).toEqual(filled());
  expect(found?.parent?.created).toBe(stored.parent?.created);
  await expect(metastore.replaceKey(stored, 'text' as never)).rejects.toThrow('encryptedKey must be a Uint8Array');
});

it('the memory metastore names a wrong argument in its error', async () => {
  const metastore = new MemoryMetastore();
  const { id, created, ...rest } = keyRecord('_SK_a', 60);
  await expect(metastore.load(id, '60' as never)).rejects.toThrow(/^created must be /);
  await expect(metastore.loadRecent(id, 1.5 as never)).rejects.toThrow(/^notAfter must be /);
  await expect(metastore.store({ ...rest, created } as never)).rejects.toThrow(/^record\.id must be a string/);
  await expect(metastore.replaceKey({ ...rest, id } as never, filled())).rejects.toThrow(/^record\.created must be /);
});
