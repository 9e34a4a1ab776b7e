import { withDeadline, type Deadline } from '../async/deadline.ts';
import type { Clock } from '../async/clock.ts';
import { checkedKms, checkedMetastore } from '../envelope/checked-ports.ts';
import { cryptoPolicy, MAX_AHEAD_MS, type CryptoPolicy } from '../envelope/crypto-policy.ts';
import { IntermediateKeys } from '../envelope/intermediate-keys.ts';
import { keyDependencies, type KeyRowProofs } from '../envelope/key-dependencies.ts';
import { NO_ENVELOPE_EVENTS, type KeyManagementService, type Metastore } from '../envelope/ports.ts';
import { SystemKeys } from '../envelope/system-keys.ts';
import type { EpochSeconds, KeyId, KeyMeta, KeyNaming } from '../records/ids.ts';

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

/** Makes the next keys of a service before the current keys expire. The current keys stay valid. */
export class KeyRotation {
  readonly #systemKeyId: KeyId;
  readonly #systemKeys: SystemKeys;
  readonly #keys: IntermediateKeys;
  readonly #metastore: Metastore;
  readonly #now: Clock;
  /** How far the latest key's date is ahead of this clock, in milliseconds. */
  #aheadMs = 0;

  constructor({ naming, metastore, kms, policy, keyRowProofs, now }: RotationOptions) {
    this.#metastore = checkedMetastore(metastore);
    const dependencies = keyDependencies({
      metastore: this.#metastore,
      kms: checkedKms(kms),
      policy: cryptoPolicy(policy),
      keyRowProofs,
      now: () => now() + this.#aheadMs,
      events: NO_ENVELOPE_EVENTS,
    });
    this.#now = now;
    this.#systemKeyId = naming.systemKeyId;
    this.#systemKeys = new SystemKeys(naming.systemKeyId, dependencies);
    this.#keys = new IntermediateKeys(naming, this.#systemKeys, dependencies);
  }

  /**
   * Makes the next key of an ID: a System Key or an Intermediate Key of the service. Do not make two keys at the same
   * time. All processes seal under the key with the latest date. So if the latest key is dated up to ten minutes ahead,
   * the next key gets a later date.
   * @returns undefined if another process has just made one
   * @throws KeyfoldError the errors of KMS and of the metastore, and `DeadlineExceeded` after 30 seconds
   */
  rotate(id: KeyId): Promise<KeyMeta | undefined> {
    const limits = { deadlineAtMs: this.#now() + TIMEOUT_MS };
    return withDeadline(limits, this.#now, async (deadline) => {
      this.#aheadMs = await this.#aheadOf(id, deadline);
      return id === this.#systemKeyId
        ? this.#systemKeys.createAhead(Number.POSITIVE_INFINITY, deadline)
        : this.#keys.createNext(id, deadline);
    });
  }

  async #aheadOf(id: KeyId, deadline: Deadline): Promise<number> {
    const nowMs = this.#now();
    const limit = Math.floor((nowMs + MAX_AHEAD_MS) / 1000) as EpochSeconds;
    // Do not use `loadLatest`. If a row is dated more than ten minutes ahead, no process seals under its key, but
    // `loadLatest` would return only that row.
    const [latest] = (await this.#metastore.loadRecent?.(id, limit, deadline)) ?? [];
    const latestMs = (latest?.created ?? 0) * 1000;
    return latestMs > nowMs ? latestMs + 1000 - nowMs : 0;
  }
}
