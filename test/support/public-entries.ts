import { expect } from 'vitest';
import { MemoryMetastore, StaticKms, type Deadline } from '../../src/index.ts';
import * as hsm from '../../src/kms/pkcs11/index.ts';
import * as vault from '../../src/kms/vault/index.ts';
import * as testing from '../../src/testing/index.ts';
import type { PublicFunctions } from './public-function.ts';

const { Pkcs11Kms } = hsm;
const { VaultKms } = vault;
const { HandClock } = testing;

const noop = (): void => {};
const deadline = (): Deadline => ({ atMs: Date.now() + 60_000, signal: new AbortController().signal });
const vaultOptions = (): vault.VaultKmsOptions => ({
  addresses: ['http://127.0.0.1:9', 'https://127.0.0.1:9/vault'],
  transitKey: 'keyfold',
  transitMount: 'transit',
  namespace: 'team/orders',
  auth: { method: 'approle', roleId: 'role', secretId: 'secret', mount: 'approle' },
  requestTimeoutMs: 100,
  failover: { maxRounds: 1, onKeyRefused: 'fail' },
  events: { attempted: noop, coolingDown: noop, failedOver: noop, wrapMissing: noop },
});
const kms = new VaultKms(vaultOptions());
const wrapped = (): Buffer => Buffer.from('vault:v1:AAAA');

/** The functions of `keyfold/vault`. */
export const VAULT: PublicFunctions = {
  'new VaultKms': {
    args: () => [vaultOptions()],
    call: (options: never) => new VaultKms(options),
    holds: (made: vault.VaultKms) => expect(made.regionStates()).not.toEqual([]),
  },
  // Tests the constructor of VaultKms again, with the login method `aws`.
  'new VaultKms with AWS': {
    args: () => {
      const credentials = { accessKeyId: 'a', secretAccessKey: 's' };
      return [
        { ...vaultOptions(), auth: { method: 'aws', role: 'r', region: 'us-west-2', serverId: 'vault', credentials } },
      ];
    },
    call: (options: never) => new VaultKms(options),
  },
  'VaultKms.regionStates': { args: () => [], call: () => kms.regionStates() },
  'VaultKms.wrap': {
    args: () => [Buffer.alloc(32, 5), deadline()],
    call: (...args: [never, never]) => kms.wrap(...args),
  },
  'VaultKms.unwrap': {
    args: () => [wrapped(), deadline()],
    call: (...args: [never, never]) => kms.unwrap(...args),
  },
  'VaultKms.renew': {
    args: () => [wrapped(), deadline()],
    call: (...args: [never, never]) => kms.renew(...args),
  },
};

const hsmOptions = (): hsm.Pkcs11KmsOptions => ({
  library: '/absent/libpkcs11.so',
  tokenLabel: 'production',
  keyLabels: ['keyfold'],
  pin: () => '1234',
  mechanism: 'CKM_AES_GCM',
  requestTimeoutMs: 5000,
  events: { attempted: noop, coolingDown: noop, failedOver: noop, wrapMissing: noop },
});
const hsmKms = new Pkcs11Kms(hsmOptions());
const hsmWrapped = (): Buffer => Buffer.from(`pkcs11:gcm:keyfold:${'A'.repeat(80)}`);

/** The functions of `keyfold/pkcs11`. */
export const PKCS11: PublicFunctions = {
  'new Pkcs11Kms': {
    args: () => [hsmOptions()],
    call: (options: never) => new Pkcs11Kms(options),
    holds: (made: hsm.Pkcs11Kms) => expect(made.regionStates()).not.toEqual([]),
  },
  'Pkcs11Kms.regionStates': { args: () => [], call: () => hsmKms.regionStates() },
  'Pkcs11Kms.wrap': {
    args: () => [Buffer.alloc(32, 5), deadline()],
    call: (...args: [never, never]) => hsmKms.wrap(...args),
  },
  'Pkcs11Kms.unwrap': {
    args: () => [hsmWrapped(), deadline()],
    call: (...args: [never, never]) => hsmKms.unwrap(...args),
  },
  'Pkcs11Kms.renew': {
    args: () => [hsmWrapped(), deadline()],
    call: (...args: [never, never]) => hsmKms.renew(...args),
  },
};

const openKms = (): StaticKms => new StaticKms(Buffer.alloc(32, 7), {});
const haveNames = (cases: testing.ContractCase[]): void => {
  for (const { name, run } of cases) expect([typeof name, typeof run]).toEqual(['string', 'function']);
};

/** The functions of `keyfold/testing`. */
export const TESTING: PublicFunctions = {
  kmsContract: {
    args: () => [openKms, { openFailing: openKms }],
    call: (...args: [never, never]) => testing.kmsContract(...args),
    holds: haveNames,
  },
  wrapRenewerContract: {
    args: () => [openKms, { openFailing: openKms, rotate: () => {} }],
    call: (...args: [never, never]) => testing.wrapRenewerContract(...args),
    holds: haveNames,
  },
  metastoreContract: {
    args: () => [() => new MemoryMetastore(), { openFailing: () => new MemoryMetastore(), longId: '_IK_long' }],
    call: (...args: [never, never]) => testing.metastoreContract(...args),
    holds: haveNames,
  },
  systemKeyStoreContract: {
    args: () => [() => new MemoryMetastore(), { openFailing: () => new MemoryMetastore() }],
    call: (...args: [never, never]) => testing.systemKeyStoreContract(...args),
    holds: haveNames,
  },
  noDeadline: { args: () => [], call: () => testing.noDeadline() },
  'new HandClock': { args: () => [60], call: (nowMs: never) => new HandClock(nowMs) },
  'HandClock.advance': { args: () => [60], call: (ms: never) => new HandClock().advance(ms) },
};
