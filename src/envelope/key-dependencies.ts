import { agingClock } from '../async/clock.ts';
import { checkMinimums, type CryptoPolicy } from './crypto-policy.ts';
import type { CheckedKms } from './checked-ports.ts';
import type { EnvelopeEvents, Metastore } from './ports.ts';
import type { Clock } from '../async/clock.ts';

/** The modes of key row proofs, which {@link KeyDependencies} explains. */
export type KeyRowProofs = 'verify' | 'require';

/** The ports, the policy and the clocks that {@link SystemKeys} and {@link IntermediateKeys} use. */
export interface KeyDependencies {
  readonly metastore: Metastore;
  readonly kms: CheckedKms;
  readonly policy: CryptoPolicy;
  /**
   * - `verify`: if a key row has a proof, the proof must be valid. This detects accidental changes.
   * - `require`: every key row must have a valid proof. This stops an attacker who can write to the table.
   */
  readonly keyRowProofs: KeyRowProofs;
  readonly now: Clock;
  /** A clock for the ages of cached keys. It never goes back. */
  readonly ages: Clock;
  /**
   * A clock that shows how long ago each key's row was read. If `now` steps back, this clock jumps ahead, so that every
   * key's row is read again before the key seals.
   */
  readonly checkAges: Clock;
  readonly events: EnvelopeEvents;
}

/**
 * Completes the ports and the policy of a service with the two clocks that measure ages, and a clock if it has none.
 * @throws KeyfoldError `InvalidConfiguration` if a minimum date is more than ten minutes ahead
 */
export function keyDependencies(
  parts: Omit<KeyDependencies, 'now' | 'ages' | 'checkAges'> & { readonly now?: Clock | undefined },
): KeyDependencies {
  const { now = Date.now, policy } = parts;
  checkMinimums(policy, now());
  // If a caller passes a clock, as tests do, ignore the monotonic clock, because the two clocks would not agree.
  const monotonic = now === Date.now ? () => performance.now() : undefined;
  return {
    ...parts,
    now,
    ages: agingClock(now, 0, monotonic),
    checkAges: agingClock(now, policy.revokeCheckIntervalMs, monotonic),
  };
}
