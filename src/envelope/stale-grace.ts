import type { CryptoPolicy } from './crypto-policy.ts';
import { halfOf, orAborted, withDeadline } from '../async/deadline.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import { KeyfoldError } from '../errors.ts';
import { metaOf } from '../records/ids.ts';
import { spare } from './key-standing.ts';
import type { KeyDependencies } from './key-dependencies.ts';
import type { EnvelopeEvents } from './ports.ts';
import type { Clock } from '../async/clock.ts';
import type { Deadline } from '../async/deadline.ts';

/** The key that may serve without the metastore, as far as is known now; undefined where there is none. */
export type Held = () => EnvelopeKey | undefined;

/** How long, at most, the metastore is waited for where a key is at hand that may serve without it. */
const PATIENCE_MS = 1000;
/** For how long the metastore is not asked again then. */
const SPARE_MS = 5000;

/** Lets keys that are held go on serving while the metastore is down (CryptoPolicy `staleGraceMs`). */
export class StaleGrace {
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

  /** Asks the metastore, and takes it for down (`MetastoreUnavailable`) where it stalls and a key is at hand. */
  async ask<T>(held: Held, deadline: Deadline, read: (deadline: Deadline) => Promise<T>): Promise<T> {
    if (held() === undefined) return read(deadline);
    const half = halfOf(deadline, this.#now);
    const limits = { ...half, deadlineAtMs: Math.min(half.deadlineAtMs, this.#now() + PATIENCE_MS) };
    try {
      return await withDeadline(limits, this.#now, (patient) => orAborted(read(patient), patient.signal));
    } catch (error) {
      deadline.signal.throwIfAborted();
      if (!(error instanceof KeyfoldError && error.code === 'DeadlineExceeded')) throw error;
      throw new KeyfoldError('MetastoreUnavailable', 'The metastore has not answered for a while.');
    }
  }

  /** What is found, or, where the metastore is down, the key that is held but due to be looked up again. */
  async orStale<T>(held: Held, deadline: Deadline, find: (deadline: Deadline) => Promise<T>): Promise<T | EnvelopeKey> {
    try {
      return await find(deadline);
    } catch (error) {
      // AuditSubject only now, since a part of the search may have told that the key is revoked.
      const stale = held();
      if (stale === undefined || !(error instanceof KeyfoldError && error.code === 'MetastoreUnavailable')) throw error;
      stale.sparedUntilMs = this.#ages() + SPARE_MS;
      for (const standing of [stale.standing, stale.parent]) {
        if (standing !== undefined) spare(this.#policy, standing, this.#checkAges() + SPARE_MS);
      }
      this.#events.servedStale(metaOf(stale.standing));
      return stale;
    }
  }
}
