import { checkDeadline, type Deadline } from '../../async/deadline.ts';
import type { KeyManagementService, Unwrapped } from '../../envelope/ports.ts';
import { invalidConfiguration, KeyfoldError } from '../../errors.ts';
import { BYTES, check } from '../../input/checks.ts';
import { listening } from '../../input/defaults.ts';
import type { WrapRenewer, WrapReport } from '../../maintenance/system-key-maintenance.ts';
import { failoverPolicy } from '../failover-policy.ts';
import {
  DEPENDENCIES_TYPE,
  Failover,
  FAILOVER_DEPENDENCIES,
  NO_EVENTS,
  type FailoverDependencies,
} from '../failover.ts';
import { onCopyOf } from '../own-copy.ts';
import { everyRegionFailed } from '../region-fault.ts';
import type { RegionState } from '../region-health.ts';
import { Pkcs11Client } from './pkcs11-client.ts';
import { checkedPkcs11Options, pkcs11Faults, type Pkcs11KmsOptions } from './pkcs11-options.ts';
import { decodeWrap, encodeWrap } from './pkcs11-wrap.ts';

const NOT_WRAPPED = 'it is not wrapped by a PKCS#11 token';
/**
 * Allow only a few rounds, because an HSM that does not respond rarely recovers within seconds. Allow more than one,
 * because a session may become free.
 */
const POLICY = failoverPolicy({ maxRounds: 3, throttledDelayMs: 1000 }, 1);

/**
 * Wraps System Keys with an AES key in a hardware security module (HSM), through the manufacturer's PKCS#11 library.
 * The AES key never leaves the HSM. Install version 2 of the package `pkcs11js` beside Keyfold.
 *
 * Calls to the library block, so they run one at a time in a separate thread, over one session. A process makes one
 * call to load its System Key, even if it uses many partitions. After a failure, Keyfold finalizes the library and
 * initializes it again, because some libraries look for tokens only during initialization. So no other part of the
 * process may use the same library.
 *
 * An attacker who knows an old System Key and can write to the table can give the row of that key a later date, as with
 * {@link StaticKms}. The old key then seals new records until an operator revokes it. With `AwsKms`, this attack is not
 * possible.
 *
 * @example
 * import { readFile } from 'node:fs/promises';
 *
 * const kms = new Pkcs11Kms({
 *   library: '/opt/hsm/lib/libpkcs11.so',
 *   tokenLabel: 'production',
 *   keyLabels: ['keyfold'],
 *   pin: async () => (await readFile('/run/secrets/hsm-pin', 'utf8')).trim(),
 * });
 */
export class Pkcs11Kms implements KeyManagementService, WrapRenewer {
  readonly #token: Pkcs11Client;
  readonly #keyLabels: readonly string[];
  readonly #failover: Failover<Pkcs11Client>;

  /**
   * The constructor does not load the library. The first wrap or unwrap does.
   * @param dependencies only tests and simulations pass these
   * @throws TypeError that names an option of the wrong type or an unknown option
   * @throws KeyfoldError `InvalidConfiguration`, with a list of every invalid option
   */
  constructor(options: Pkcs11KmsOptions, dependencies: FailoverDependencies = FAILOVER_DEPENDENCIES) {
    const given = checkedPkcs11Options(options);
    check(dependencies, 'dependencies', DEPENDENCIES_TYPE);
    const faults = pkcs11Faults(given);
    if (faults.length > 0) throw invalidConfiguration(faults);
    this.#keyLabels = given.keyLabels;
    this.#token = new Pkcs11Client(given, dependencies.now);
    const events = listening(NO_EVENTS, given.events, 'options.events');
    this.#failover = new Failover([this.#token], POLICY, dependencies, events);
  }

  /** Returns the last known state of the token, without calling it. */
  regionStates(): RegionState[] {
    return this.#failover.states();
  }

  async wrap(key: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    check(key, 'key', BYTES);
    checkDeadline(deadline);
    const wrapped = await onCopyOf(key, (copy) =>
      this.#failover.firstAnswer([this.#token], {
        action: 'Encrypt',
        deadline,
        send: (token) => token.wrap(copy, deadline),
      }),
    );
    if ('faults' in wrapped) throw everyRegionFailed(wrapped.faults);
    return encodeWrap(wrapped.answer);
  }

  async unwrap(wrapped: Uint8Array, deadline: Deadline): Promise<Unwrapped> {
    check(wrapped, 'wrapped', BYTES);
    checkDeadline(deadline);
    const wrap = decodeWrap(wrapped);
    if (wrap === undefined) return { unreadable: NOT_WRAPPED };
    // A key row must not make Keyfold use a key that has another purpose.
    if (!this.#keyLabels.includes(wrap.keyLabel)) {
      throw new KeyfoldError('KmsMisconfigured', 'The key that wraps this System Key is not in keyLabels.');
    }
    const opened = await this.#failover.firstAnswer([this.#token], {
      action: 'Decrypt',
      deadline,
      send: (token) => token.unwrap(wrap, deadline),
    });
    if ('answer' in opened) return { key: opened.answer };
    if (opened.faults.some((fault) => fault.faultClass !== 'corrupt')) throw everyRegionFailed(opened.faults);
    return { unreadable: 'the key of the token does not open it' };
  }

  /** Checks that the token opens a System Key. Makes no new wraps. */
  async renew(wrapped: Uint8Array, deadline: Deadline): Promise<WrapReport> {
    check(wrapped, 'wrapped', BYTES);
    checkDeadline(deadline);
    if (decodeWrap(wrapped) === undefined) return { regions: [], renewed: undefined, unreadable: NOT_WRAPPED };
    const state = { region: this.#token.region, renewed: false };
    const opened = await this.unwrap(wrapped, deadline).catch((error: unknown) => {
      deadline.signal.throwIfAborted();
      if (error instanceof KeyfoldError) return { unreadable: error.message };
      throw error;
    });
    if ('key' in opened) opened.key.fill(0);
    const region = 'key' in opened ? { ...state, opens: true } : { ...state, opens: false, fault: opened.unreadable };
    return { regions: [region], renewed: undefined };
  }
}
