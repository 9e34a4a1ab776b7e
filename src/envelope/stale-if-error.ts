import type { Clock } from '../async/clock.ts';
import { halfOf, orAborted, withDeadline, type Deadline } from '../async/deadline.ts';
import { KeyfoldError } from '../errors.ts';
import { metaOf } from '../records/ids.ts';
import type { CryptoPolicy } from './crypto-policy.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import type { KeyDependencies } from './key-dependencies.ts';
import { extend } from './key-standing.ts';
import type { EnvelopeEvents } from './ports.ts';

/** Returns the cached key that may serve while the metastore is down. Returns undefined if there is none. */
export type StaleKey = () => EnvelopeKey | undefined;

/** How long a metastore read may take if a stale key can serve instead. */
const READ_TIMEOUT_MS = 1000;
/** How long a stale key serves before the metastore is read again. */
const EXTENSION_MS = 5000;

/** Serves cached keys while the metastore is down, for as long as `staleGraceMs` of the {@link CryptoPolicy} allows. */
export class StaleIfError {
  readonly #policy: CryptoPolicy;
  readonly #now: Clock;
  readonly #ages: Clock;
  readonly #checkAges: Clock;
  readonly #events: EnvelopeEvents;

  constructor({ policy, now, ages, checkAges, events }: KeyDependencies) {
    this.#policy = policy;
    this.#now = now;
    this.#ages = ages;
    this.#checkAges = checkAges;
    this.#events = events;
  }

  /**
   * Reads from the metastore. If a stale key can serve instead, the read may take at most one second.
   * @throws KeyfoldError `MetastoreUnavailable` if the read takes longer
   */
  async read<T>(stale: StaleKey, deadline: Deadline, read: (deadline: Deadline) => Promise<T>): Promise<T> {
    if (stale() === undefined) return read(deadline);
    const half = halfOf(deadline, this.#now);
    const limits = { ...half, deadlineAtMs: Math.min(half.deadlineAtMs, this.#now() + READ_TIMEOUT_MS) };
    try {
      return await withDeadline(limits, this.#now, (short) => orAborted(read(short), short.signal));
    } catch (error) {
      deadline.signal.throwIfAborted();
      if (!(error instanceof KeyfoldError && error.code === 'DeadlineExceeded')) throw error;
      throw new KeyfoldError('MetastoreUnavailable', 'The metastore did not answer within a second.');
    }
  }

  /**
   * Returns the result of a load. If the load fails because the metastore is down, returns the stale key, which may
   * then serve for five more seconds.
   */
  async orStale<T>(load: Promise<T>, stale: StaleKey): Promise<T | EnvelopeKey> {
    try {
      return await load;
    } catch (error) {
      // Look up the stale key only after the load, because the load may have found that the key is revoked.
      const key = stale();
      if (key === undefined || !(error instanceof KeyfoldError && error.code === 'MetastoreUnavailable')) throw error;
      key.staleUntilMs = this.#ages() + EXTENSION_MS;
      for (const standing of [key.standing, key.parent]) {
        if (standing !== undefined) extend(this.#policy, standing, this.#checkAges() + EXTENSION_MS);
      }
      this.#events.servedStale(metaOf(key.standing));
      return key;
    }
  }
}
