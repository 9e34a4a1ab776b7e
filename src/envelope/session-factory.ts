import type { Clock } from '../async/clock.ts';
import { checkLimits, orAborted, RequestDeadlines, withDeadline, type RequestLimits } from '../async/deadline.ts';
import { invalidConfiguration } from '../errors.ts';
import { check, FUNCTION, NUMBER, OBJECT, oneOf, optional, optionsOf, type Types } from '../input/checks.ts';
import { listening } from '../input/defaults.ts';
import { KeyNaming, SERVICE_NAMES, TOMBSTONE_CREATED, type ServiceNames } from '../records/ids.ts';
import { checkedClock, checkedKms, checkedMetastore, EVENTS, KMS, METASTORE } from './checked-ports.ts';
import type { ContextRules } from './context-rules.ts';
import { cryptoPolicy, type CryptoPolicy } from './crypto-policy.ts';
import type { SharedDataRowKey } from './data-row-key.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import { IntermediateKeys } from './intermediate-keys.ts';
import { keyDependencies, type KeyRowProofs } from './key-dependencies.ts';
import { NO_ENVELOPE_EVENTS, type EnvelopeEvents, type KeyManagementService, type Metastore } from './ports.ts';
import { Session, type KeyUsed, type SessionDependencies } from './session.ts';
import { SystemKeys } from './system-keys.ts';

/** The options of {@link SessionFactory}. */
export interface SessionFactoryOptions extends ServiceNames, ContextRules {
  /**
   * Whether key rows need a proof. With `require`, every key row must have a valid proof. With `verify`, the default, a
   * key row may have no proof, but a proof must be valid.
   */
  readonly keyRowProofs?: KeyRowProofs;
  readonly metastore: Metastore;
  readonly kms: KeyManagementService;
  /** The values that differ from the default policy. */
  readonly policy?: Partial<CryptoPolicy>;
  /**
   * A clock for tests, which returns the current time in milliseconds since 1970. With AWS KMS and DynamoDB, it must
   * return the real time, because their clients compare deadlines with the real time.
   */
  readonly now?: Clock;
  /** Listeners for the events of the key lifecycle. Each of them is optional. */
  readonly events?: Partial<EnvelopeEvents>;
}

const KEY_USED = optional(FUNCTION);
const OPTIONS: Types<SessionFactoryOptions> = {
  ...SERVICE_NAMES,
  metastore: METASTORE,
  kms: KMS,
  policy: optional(OBJECT),
  now: optional(FUNCTION),
  events: optional(EVENTS),
  keyRowProofs: optional(oneOf('verify', 'require')),
  requireContext: optional(oneOf('off', 'seal', 'always')),
  unboundBefore: optional(NUMBER),
};

/**
 * Makes sessions for the partitions of one service, and caches the plaintext keys that they share. Make one factory per
 * process and keep it, because each factory has its own cache.
 * @example
 * const keyfold = new SessionFactory({ service: 'orders', product: 'shop', metastore, kms });
 * const session = keyfold.session('customer-1234');
 * const text = await session.encryptToJson(Buffer.from('secret'));
 * const payload = await session.decryptJson(text);
 */
export class SessionFactory {
  readonly #dependencies: SessionDependencies;
  readonly #systemKeys: SystemKeys;

  /**
   * @throws TypeError naming an option of the wrong type, an unknown option, or a port that lacks a method
   * @throws KeyfoldError `InvalidConfiguration`, listing what is wrong with the names, the policy or `unboundBefore`
   */
  constructor(options: SessionFactoryOptions) {
    const given = optionsOf(options, 'options', OPTIONS);
    const naming = new KeyNaming(given);
    const policy = cryptoPolicy(given.policy);
    const now = checkedClock(given.now);
    const { keyRowProofs = 'verify', unboundBefore = 0 } = given;
    // Refuse a time in milliseconds. As a number of seconds, it would be so far ahead that every record without a proof
    // opens forever.
    if (!(unboundBefore <= TOMBSTONE_CREATED)) {
      throw invalidConfiguration(['unboundBefore must be a time in seconds since 1970']);
    }
    const events = listening(NO_ENVELOPE_EVENTS, given.events, 'options.events');
    const ports = { metastore: checkedMetastore(given.metastore), kms: checkedKms(given.kms) };
    const dependencies = keyDependencies({ ...ports, policy, keyRowProofs, now, events });
    this.#systemKeys = new SystemKeys(naming.systemKeyId, dependencies);
    const keys = new IntermediateKeys(naming, this.#systemKeys, dependencies);
    const shared = new WeakMap<EnvelopeKey, SharedDataRowKey>();
    this.#dependencies = {
      naming,
      keys,
      policy,
      now,
      ages: dependencies.ages,
      shared,
      deadlines: new RequestDeadlines(now),
      contextRules: given,
      events,
    };
  }

  /**
   * Loads the latest System Key of the service into the cache before the first request. This also opens connections and
   * compiles code. Call this method while the process starts, if no request is already waiting. The method never makes
   * a key.
   * @throws TypeError for limits of the wrong type
   * @throws KeyfoldError if the key could not be loaded. The next request tries again.
   */
  async preload(limits: RequestLimits = {}): Promise<void> {
    checkLimits(limits);
    await withDeadline(limits, this.#dependencies.now, (deadline) => this.#systemKeys.preload(deadline));
  }

  /**
   * Checks that the latest System Key of the service opens. It reads the key's row from the metastore and unwraps the
   * key with the KMS, even if the key is in the cache. The method takes a key that is dated too far ahead only if there
   * is no other key. It makes no key.
   * @throws TypeError for limits of the wrong type
   * @throws KeyfoldError if the metastore or the KMS fails, or `KeyNotYetVisible` if the service has no System Key yet
   */
  async checkSystemKey(limits: RequestLimits = {}): Promise<void> {
    checkLimits(limits);
    await withDeadline(limits, this.#dependencies.now, (deadline) =>
      orAborted(this.#systemKeys.checkLatest(deadline), deadline.signal),
    );
  }

  /**
   * Makes a session for one partition. Sessions are cheap, and do not have to be closed.
   * @param keyUsed a callback for audits. It is called with the Intermediate Key of each record that the session
   * encrypts, decrypts or rewraps. If it throws, the call of the session fails with its error. If it returns a promise,
   * the session does not wait for it.
   * @throws TypeError if `partition` is not a string or `keyUsed` is not a function
   * @throws KeyfoldError `InvalidRequest` if {@link KeyNaming.parsePartition} refuses the partition
   */
  session(partition: string, keyUsed?: KeyUsed): Session {
    check(keyUsed, 'keyUsed', KEY_USED);
    const { naming } = this.#dependencies;
    const parsed = naming.parsePartition(partition);
    return new Session(parsed, naming.intermediateKeyId(parsed), this.#dependencies, { keyUsed });
  }
}
