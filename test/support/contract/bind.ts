import { describe, expect, it } from 'vitest';
import {
  metastoreContract,
  systemKeyStoreContract,
  type ContractCase,
  type MetastoreContractOptions,
  type Opener,
  type StoreContractOptions,
} from '../../../src/testing/index.ts';
import { keyRecord, LONG_ID } from '../../../src/testing/key-record.ts';
import type { Metastore, SystemKeyStore } from '../../../src/index.ts';
import { errorOf, noDeadline } from '../fakes.ts';

/** Runs each case of a contract as a test, in one suite. */
export function runContract(title: string, cases: readonly ContractCase[]): void {
  // oxlint-disable-next-line vitest/valid-title -- it is a string
  describe(title, () => {
    // oxlint-disable-next-line vitest/expect-expect, vitest/valid-title -- the cases have titles and assertions
    for (const { name, run } of cases) it(name, run);
  });
}

/** Runs the contracts of a metastore that also stores System Keys for maintenance. */
export function runMetastoreContracts(
  name: string,
  open: Opener<Metastore & SystemKeyStore>,
  faults: StoreContractOptions<Metastore & SystemKeyStore> = {},
  limits: Pick<MetastoreContractOptions, 'longId' | 'lastDate'> = {},
): void {
  runContract(`${name} as a metastore`, metastoreContract(open, { ...faults, ...limits }));
  runContract(`${name} as a store of System Keys`, systemKeyStoreContract(open, faults));
  idContract(name, open);
}

/** Tests how Keyfold's own metastores handle invalid IDs. */
function idContract(name: string, open: Opener<Metastore & SystemKeyStore>): void {
  const deadline = noDeadline();
  const { created } = keyRecord('', 60);

  it.for([
    ['an empty ID', ''],
    ['an ID that is too long', `${LONG_ID}x`],
    ['an ID with a lone surrogate', '_SK_\ud800'],
  ] as const)(`${name} finds no row for %s`, async ([, id]) => {
    const metastore = await open();
    const row = keyRecord(id, 60);
    expect(await metastore.load(row.id, created, deadline)).toBeUndefined();
    expect(await metastore.loadLatest(row.id, deadline)).toBeUndefined();
    expect(await metastore.loadRecent?.(row.id, created, deadline)).toEqual([]);
    expect(await metastore.rows(row.id, deadline)).toEqual([]);
    expect(await metastore.replaceKey(row, Buffer.from('renewed'), deadline)).toBe('changed');
  });

  it.for([
    ['a number', 5],
    ['null', null],
    ['undefined', undefined],
    ['an object', {}],
  ] as const)(`${name} throws a TypeError that names the argument id if the ID is %s`, async ([, id]) => {
    const metastore = await open();
    const calls = [
      () => metastore.load(id as never, created, deadline),
      () => metastore.loadLatest(id as never, deadline),
      () => metastore.loadRecent?.(id as never, created, deadline),
      () => metastore.rows(id as never, deadline),
    ];
    for (const call of calls) {
      const error = await errorOf(Promise.resolve(call()));
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toMatch(/^id must be /);
    }
  });
}
