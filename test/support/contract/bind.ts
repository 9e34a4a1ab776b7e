import { describe, it } from 'vitest';
import {
  metastoreContract,
  systemKeyStoreContract,
  type ContractCase,
  type MetastoreContractOptions,
  type Opener,
} from '../../../src/testing/index.ts';
import type { Metastore, SystemKeyStore } from '../../../src/index.ts';

/** Runs the cases of a contract as tests of a group. */
export function runContract(title: string, cases: readonly ContractCase[]): void {
  // oxlint-disable-next-line vitest/valid-title -- it is a string
  describe(title, () => {
    // oxlint-disable-next-line vitest/expect-expect, vitest/valid-title -- the cases have titles and assertions
    for (const { name, run } of cases) it(name, run);
  });
}

/** Runs the contracts of a metastore that maintenance can use, too. */
export function runMetastoreContracts(
  name: string,
  open: Opener<Metastore & SystemKeyStore>,
  options?: MetastoreContractOptions,
): void {
  runContract(`${name} as a metastore`, metastoreContract(open, options));
  runContract(`${name} as a store of System Keys`, systemKeyStoreContract(open));
}
