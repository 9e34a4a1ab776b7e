/**
 * For authors of plug-ins: the contracts that a `KeyManagementService` and a `Metastore` must fulfil, as test cases for
 * any test framework, and a clock that a test moves by hand.
 * @example
 * import test from 'node:test';
 * import { kmsContract } from 'keyfold/testing';
 *
 * for (const { name, run } of kmsContract(() => new MyKms(options))) test(name, run);
 */
export type { ContractCase, ContractOptions, Opener } from './contract-case.ts';
export { noDeadline } from '../async/deadline.ts';
export { HandClock } from './hand-clock.ts';
export { kmsContract, type KmsContractOptions } from './kms-contract.ts';
export { metastoreContract, type MetastoreContractOptions } from './metastore-contract.ts';
export type { StoreContractOptions } from './store-outages.ts';
export { systemKeyStoreContract } from './system-key-store-contract.ts';
export { wrapRenewerContract } from './wrap-renewer-contract.ts';
