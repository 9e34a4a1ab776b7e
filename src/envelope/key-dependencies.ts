import { agingClock } from '../async/clock.ts';
import type { CryptoPolicy } from './crypto-policy.ts';
import type { EnvelopeEvents, KeyManagementService, Metastore } from './ports.ts';
import type { Clock } from '../async/clock.ts';

/** The ports, the policy and the clocks that the keys of one service share. */
export interface KeyDependencies {
  readonly metastore: Metastore;
  readonly kms: KeyManagementService;
  readonly policy: CryptoPolicy;
  readonly now: Clock;
  /** A clock for the ages of cached keys. It never goes back. */
  readonly ages: Clock;
  /** A clock for the ages of standings. If `now` steps back, it jumps so far ahead that all standings are due to be read again. */
  readonly checkAges: Clock;
  readonly events: EnvelopeEvents;
}

/** Adds the clocks that the policy needs to the ports of a service. */
export function keyDependencies(
  parts: Omit<KeyDependencies, 'now' | 'ages' | 'checkAges'> & { readonly now?: Clock | undefined },
): KeyDependencies {
  const { now = Date.now, policy } = parts;
  // A clock that is passed in belongs to a test. The monotonic clock of the machine would not agree with it.
  const monotonic = now === Date.now ? () => performance.now() : undefined;
  return {
    ...parts,
    now,
    ages: agingClock(now, 0, monotonic),
    checkAges: agingClock(now, policy.revokeCheckIntervalMs, monotonic),
  };
}
