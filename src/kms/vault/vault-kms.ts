import { checkDeadline, type Deadline } from '../../async/deadline.ts';
import { BYTES, check } from '../../input/checks.ts';
import { listening } from '../../input/defaults.ts';
import { invalidConfiguration } from '../../errors.ts';
import type { KeyManagementService, Unwrapped } from '../../envelope/ports.ts';
import type { RegionWrap, WrapRenewer, WrapReport } from '../../maintenance/system-key-maintenance.ts';
import { failoverPolicy } from '../failover-policy.ts';
import {
  DEPENDENCIES_TYPE,
  Failover,
  FAILOVER_DEPENDENCIES,
  NO_EVENTS,
  type FailoverDependencies,
  type KmsEvents,
} from '../failover.ts';
import { onCopyOf } from '../own-copy.ts';
import { everyRegionFailed } from '../region-fault.ts';
import type { RegionState } from '../region-health.ts';
import { VaultAddress } from './vault-address.ts';
import { ciphertextOf, isOfRsa } from './vault-ciphertext.ts';
import { checkedVaultOptions, vaultFaults, type VaultKmsOptions } from './vault-options.ts';

/**
 * Wraps System Keys with a key in the transit engine of HashiCorp Vault or OpenBao. The key never leaves Vault. A key
 * row contains the ciphertext that Vault returns, `vault:v1:…`, which Asherah's Rust core also reads and writes.
 *
 * With Vault, there is no data key, so the proof of a System Key's row rests on the System Key itself. An attacker who
 * knows an old System Key and can write to the table can give the row of that key a later date. The old key then seals
 * new records until an operator revokes it. With `AwsKms`, this attack is not possible.
 *
 * Keyfold never rewraps a key row. Do not raise `min_decryption_version` above the version that wrapped a System Key:
 * the key's records could not be opened until you allow that version again. Do not trim that version: these records
 * could never be opened again.
 *
 * @example
 * import { readFile } from 'node:fs/promises';
 *
 * const kms = new VaultKms({
 *   addresses: ['https://vault-1.example.com:8200', 'https://vault-2.example.com:8200'],
 *   transitKey: 'keyfold',
 *   auth: { method: 'approle', roleId: 'orders', secretId: () => readFile('/run/secrets/vault', 'utf8') },
 * });
 */
export class VaultKms implements KeyManagementService, WrapRenewer {
  /** The preferred address comes first. */
  readonly #addresses: readonly VaultAddress[];
  readonly #failover: Failover<VaultAddress>;
  readonly #events: KmsEvents;

  /**
   * @param dependencies only tests and simulations pass these
   * @throws TypeError that names an option of the wrong type or an unknown option
   * @throws KeyfoldError `InvalidConfiguration`, with a list of every invalid option
   */
  constructor(options: VaultKmsOptions, dependencies: FailoverDependencies = FAILOVER_DEPENDENCIES) {
    const given = checkedVaultOptions(options);
    check(dependencies, 'dependencies', DEPENDENCIES_TYPE);
    const faults = vaultFaults(given);
    if (faults.length > 0) throw invalidConfiguration(faults);
    const { transitKey, transitMount, namespace, auth, ca, requestTimeoutMs, failover } = given;
    const { now } = dependencies;
    const settings = { transitKey, transitMount, namespace, auth, ca, requestTimeoutMs, now };
    this.#addresses = given.addresses.map((address) => new VaultAddress(address, settings));
    this.#events = listening(NO_EVENTS, given.events, 'options.events');
    const policy = failoverPolicy(failover, this.#addresses.length);
    this.#failover = new Failover(this.#addresses, policy, dependencies, this.#events);
  }

  /** Returns the last known state of each address. The preferred address comes first. Sends no request to Vault. */
  regionStates(): RegionState[] {
    return this.#failover.states();
  }

  async wrap(key: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    check(key, 'key', BYTES);
    checkDeadline(deadline);
    const wrapped = await onCopyOf(key, (copy) =>
      this.#failover.firstAnswer(this.#addresses, {
        action: 'Encrypt',
        deadline,
        send: (address) => address.encrypt(copy, deadline),
      }),
    );
    if ('faults' in wrapped) throw everyRegionFailed(wrapped.faults);
    this.#noteFailover(wrapped.region);
    return Buffer.from(wrapped.answer);
  }

  async unwrap(wrapped: Uint8Array, deadline: Deadline): Promise<Unwrapped> {
    check(wrapped, 'wrapped', BYTES);
    checkDeadline(deadline);
    const ciphertext = symmetricOf(wrapped);
    if (typeof ciphertext !== 'string') return ciphertext;
    const opened = await this.#failover.firstAnswer(this.#addresses, {
      action: 'Decrypt',
      deadline,
      send: (address) => address.decrypt(ciphertext, deadline),
    });
    if ('answer' in opened) {
      this.#noteFailover(opened.region);
      return { key: opened.answer };
    }
    const { faults } = opened;
    if (faults.some((fault) => fault.faultClass !== 'corrupt')) throw everyRegionFailed(faults);
    return { unreadable: 'no version of the transit key opens it' };
  }

  /** Checks that every address opens a System Key. Makes no new wraps, because all addresses share the transit key. */
  async renew(wrapped: Uint8Array, deadline: Deadline): Promise<WrapReport> {
    check(wrapped, 'wrapped', BYTES);
    checkDeadline(deadline);
    const ciphertext = symmetricOf(wrapped);
    if (typeof ciphertext !== 'string') return { regions: [], renewed: undefined, ...ciphertext };
    const openAt = async (address: VaultAddress): Promise<RegionWrap> => {
      const send = (one: VaultAddress): Promise<Buffer> => one.decrypt(ciphertext, deadline);
      const opened = await this.#failover.firstAnswer([address], { action: 'Decrypt', deadline, send }, 1);
      if ('answer' in opened) opened.answer.fill(0);
      const [fault] = 'faults' in opened ? opened.faults : [];
      const state = { region: address.region, opens: 'answer' in opened, renewed: false };
      return fault === undefined ? state : { ...state, fault: fault.message };
    };
    return { regions: await Promise.all(this.#addresses.map(openAt)), renewed: undefined };
  }

  #noteFailover(address: VaultAddress): void {
    if (address !== this.#addresses[0]) this.#events.failedOver(address.region);
  }
}

/** The ciphertext of a symmetric transit key, or why the bytes are not one. */
function symmetricOf(wrapped: Uint8Array): string | { readonly unreadable: string } {
  const ciphertext = ciphertextOf(wrapped);
  if (ciphertext === undefined) return { unreadable: 'it is not wrapped by the transit engine of Vault' };
  return isOfRsa(ciphertext)
    ? { unreadable: 'an RSA key has wrapped it, and everyone may have its public key' }
    : ciphertext;
}
