import { agingClock } from '../async/clock.ts';
import type { CryptoPolicy } from './crypto-policy.ts';
import type { EnvelopeEvents, KeyManagementService, Metastore } from './ports.ts';
import type { Clock } from '../async/clock.ts';

/** What the keys of one service need of the world. */
export interface KeyDependencies {
  readonly metastore: Metastore;
  readonly kms: KeyManagementService;
  readonly policy: CryptoPolicy;
  readonly now: Clock;
  /** Ages of what is held, which never go back. */
  readonly ages: Clock;
  /** Ages of what is known of keys. All of it is due to be looked up again once the clock has stepped back. */
  readonly checkAges: Clock;
  readonly events: EnvelopeEvents;
}

/** A service's {@link KeyDependencies}, with the clocks that its policy asks for. */
export function keyDependencies(
  parts: Omit<KeyDependencies, 'now' | 'ages' | 'checkAges'> & { readonly now?: Clock | undefined },
): KeyDependencies {
  const { now = Date.now, policy } = parts;
  // A clock that is passed in is a test's, and a clock of the machine's would not agree with it.
  const monotonic = now === Date.now ? () => performance.now() : undefined;
  return {
    ...parts,
    now,
    ages: agingClock(now, 0, monotonic),
    checkAges: agingClock(now, policy.revokeCheckIntervalMs, monotonic),
  };
}
