import { withDeadline } from '../async/deadline.ts';
import type { Clock } from '../async/clock.ts';
import { checkedKms, checkedMetastore } from '../envelope/checked-ports.ts';
import { cryptoPolicy, type CryptoPolicy } from '../envelope/crypto-policy.ts';
import { IntermediateKeys } from '../envelope/intermediate-keys.ts';
import { keyDependencies, type KeyRowProofs } from '../envelope/key-dependencies.ts';
import { NO_ENVELOPE_EVENTS, type KeyManagementService, type Metastore } from '../envelope/ports.ts';
import { SystemKeys } from '../envelope/system-keys.ts';
import type { KeyId, KeyMeta, KeyNaming } from '../records/ids.ts';

/** How long one rotation may take. */
const TIMEOUT_MS = 30_000;

/** The service whose keys {@link KeyRotation} rotates. */
export interface RotationOptions {
  readonly naming: KeyNaming;
  readonly metastore: Metastore;
  readonly kms: KeyManagementService;
  readonly policy: Partial<CryptoPolicy>;
  readonly keyRowProofs: KeyRowProofs;
  readonly now: Clock;
}

/** Makes the next keys of a service before the current ones expire. The current ones stay valid. */
export class KeyRotation {
  readonly #systemKeyId: KeyId;
  readonly #systemKeys: SystemKeys;
  readonly #keys: IntermediateKeys;
  readonly #now: Clock;

  constructor({ naming, metastore, kms, policy, keyRowProofs, now }: RotationOptions) {
    const dependencies = keyDependencies({
      metastore: checkedMetastore(metastore),
      kms: checkedKms(kms),
      policy: cryptoPolicy(policy),
      keyRowProofs,
      now,
      events: NO_ENVELOPE_EVENTS,
    });
    this.#now = now;
    this.#systemKeyId = naming.systemKeyId;
    this.#systemKeys = new SystemKeys(naming.systemKeyId, dependencies);
    this.#keys = new IntermediateKeys(naming, this.#systemKeys, dependencies);
  }

  /**
   * Makes the next key of an ID: a System Key or an Intermediate Key of the service.
   * @returns undefined if another process has just made one
   * @throws KeyfoldError the errors of KMS and of the metastore, and `DeadlineExceeded` after 30 seconds
   */
  rotate(id: KeyId): Promise<KeyMeta | undefined> {
    const limits = { deadlineAtMs: this.#now() + TIMEOUT_MS };
    return withDeadline(limits, this.#now, (deadline) =>
      id === this.#systemKeyId
        ? this.#systemKeys.createAhead(Number.POSITIVE_INFINITY, deadline)
        : this.#keys.createNext(id, deadline),
    );
  }
}
