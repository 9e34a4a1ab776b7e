import { setTimeout as sleep } from 'node:timers/promises';
import { deadlineExceeded } from '../async/deadline.ts';
import { steadyClock, type Clock } from '../async/clock.ts';
import type { Deadline } from '../async/deadline.ts';
import { watchForFreezes } from '../connections/freeze-detector.ts';
import { having } from '../input/checks.ts';
import type { FailoverPolicy } from './failover-policy.ts';
import { RegionFault, type KmsAction } from './region-fault.ts';
import { isThrottled, isTransient, RegionHealth, type RegionState } from './region-health.ts';

/** The clock, randomness and sleep of {@link Failover}. Tests and simulations replace them. */
export interface FailoverDependencies {
  readonly now: Clock;
  /** Returns a number from 0 up to, but not including, 1. */
  readonly random: () => number;
  /** Resolves after `ms` milliseconds. If the signal is aborted first, rejects with the signal's reason. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** The type of {@link FailoverDependencies}, for checks at run time. */
export const DEPENDENCIES_TYPE = having('now', 'random', 'sleep');

/** The real clock, randomness and sleep. */
export const FAILOVER_DEPENDENCIES: FailoverDependencies = {
  now: Date.now,
  random: Math.random,
  sleep: (ms, signal) =>
    sleep(ms, undefined, { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error;
    }),
};

/**
 * Events of a KMS, for an operator's logs and metrics. They are never in responses to callers. The errors of a listener
 * are ignored.
 */
export interface KmsEvents {
  /**
   * An attempt in a region has ended, with a response or with a fault. Keyfold does not report an attempt that got no
   * response because the process was frozen.
   */
  attempted(attempt: Attempt): void;
  /** A region has failed, so Keyfold tries it last for the next `coolDownMs` milliseconds. */
  coolingDown(region: string, coolDownMs: number): void;
  /** A region other than the preferred one has served a request. */
  failedOver(region: string): void;
  /** A region has not wrapped a new System Key, so that region cannot unwrap the key. */
  wrapMissing(region: string): void;
}

/** No-op event sink. */
export const NO_EVENTS: KmsEvents = {
  attempted: () => {},
  coolingDown: () => {},
  failedOver: () => {},
  wrapMissing: () => {},
};

/** One attempt in one region. It makes one KMS call, or several if the region has several wraps of the System Key. */
export interface Attempt {
  readonly region: string;
  readonly action: KmsAction;
  readonly latencyMs: number;
  /** The fault of the attempt. Absent if the attempt succeeded. */
  readonly fault?: RegionFault;
}

/** An AWS KMS region, or an address of another KMS. */
export interface Region {
  /** The name in events, faults and states. */
  readonly region: string;
}

/** A request that any one region can serve. */
export interface KmsRequest<T, R extends Region> {
  readonly action: KmsAction;
  readonly deadline: Deadline;
  /** Sends the request to one region. Throws a `RegionFault` if the region fails. */
  readonly send: (region: R) => Promise<T>;
}

/**
 * The response of the first region that succeeds. If no region succeeds, the last fault of each region that was tried.
 */
export type FirstAnswer<T, R extends Region> =
  { readonly region: R; readonly answer: T } | { readonly faults: readonly RegionFault[] };

/** The result of one attempt. */
type Outcome<T> = { readonly answer: T } | { readonly fault: RegionFault };

// The five constants below were tuned by simulating a fleet of processes: see docs/explanation/kms-failover.md.
/**
 * While the preferred region throttles, a request in a later round tries another region first with this probability.
 */
const SPILL = 0.06;
/** While the preferred region throttles, each round multiplies the longest delay by this factor. */
const THINNING = 0.84;
/**
 * `FIRST_LEAST` and `LATER_LEAST` are the shortest delays after throttling, as shares of the longest delay. The
 * exponent `FIRST_SKEW` makes short delays more likely before the second round.
 */
const FIRST_LEAST = 0.16;
const FIRST_SKEW = 1.45;
const LATER_LEAST = 0.125;

/** No attempt begins if less time than this is left before the deadline. */
const MIN_ATTEMPT_MS = 50;

/**
 * If the deadline aborts an attempt that has lasted at least this long, the attempt counts as a failure of its region.
 */
const LONG_ATTEMPT_MS = 500;

/** Tries regions until one succeeds, and remembers which regions to try last. All retries of KMS calls happen here. */
export class Failover<R extends Region> {
  readonly #health: ReadonlyMap<string, RegionHealth>;
  readonly #policy: FailoverPolicy;
  readonly #dependencies: FailoverDependencies;
  readonly #events: KmsEvents;

  /** @param regions in the order of preference */
  constructor(regions: readonly R[], policy: FailoverPolicy, dependencies: FailoverDependencies, events: KmsEvents) {
    this.#health = new Map(regions.map(({ region }) => [region, new RegionHealth(region, policy)]));
    this.#policy = policy;
    this.#dependencies = dependencies;
    this.#events = events;
  }

  /** Returns the last known state of each region, in the order of preference. Sends no request to KMS. */
  states(): RegionState[] {
    return [...this.#health.values()].map((health) => health.stateAt(this.#dependencies.now()));
  }

  /**
   * Returns the first response of these regions, or the last fault of each region if none succeeds.
   *
   * The first round tries every region in order, without delays. Regions in a cool-down come last. Later rounds try the
   * regions whose fault is transient, while rounds and time remain. A later round ends at the first region that
   * throttles.
   * @throws KeyfoldError `DeadlineExceeded` if the deadline passes during an attempt or a delay, or if no time for
   * another attempt is left and none of the faults so far is transient
   */
  async firstAnswer<T>(
    regions: readonly R[],
    request: KmsRequest<T, R>,
    maxRounds = this.#policy.maxRounds,
  ): Promise<FirstAnswer<T, R>> {
    const { deadline } = request;
    const faults = new Map<R, RegionFault>();
    const [preferred] = regions;
    let retryable = regions;
    let order: readonly R[] = this.#inOrder(regions);
    for (let round = 1; ; round += 1) {
      for (const region of order) {
        if (!this.#hasTimeAfter(0, deadline)) return outOfTime(faults);
        const outcome = await this.#attempt(region, request);
        if ('answer' in outcome) return { region, ...outcome };
        const { fault } = outcome;
        faults.set(region, fault);
        const isFinal = this.#policy.onKeyRefused === 'fail' && fault.faultClass === 'misconfigured';
        if (isFinal) return { faults: [...faults.values()] };
        if (round > 1 && isThrottled(fault)) break;
      }
      retryable = retryable.filter((region) => isTransient(faults.get(region)));
      const all = [...faults.values()];
      if (retryable.length === 0 || round === maxRounds) return { faults: all };
      const preferredFault = preferred && faults.get(preferred);
      if (!(await this.#pause(this.#delayMs(round, preferredFault, all), deadline))) return { faults: all };
      order = this.#inLaterOrder(retryable, preferredFault);
    }
  }

  /**
   * Makes one attempt in one region.
   * @throws any error other than a `RegionFault`, such as the deadline's reason
   */
  async #attempt<T>(region: R, { action, send }: KmsRequest<T, R>): Promise<Outcome<T>> {
    const { region: name } = region;
    const health = this.#health.get(name);
    const { now, random } = this.#dependencies;
    const steady = steadyClock(now);
    const beganAtMs = steady();
    // If the caller's clock has stepped back meanwhile, the result is 0.
    const passedMs = (): number => Math.max(0, steady() - beganAtMs);
    // The watch reads the machine's clocks, which say nothing about a simulation with another clock.
    const endWatch = now === Date.now ? watchForFreezes() : undefined;
    health?.begin(now());
    try {
      const answer = await send(region);
      health?.succeeded(now());
      this.#events.attempted({ region: name, action, latencyMs: passedMs() });
      return { answer };
    } catch (error) {
      const latencyMs = passedMs();
      const isRegionFault = error instanceof RegionFault;
      // An error other than a RegionFault means that the deadline has passed. Count the region as unavailable only if
      // the attempt lasted for LONG_ATTEMPT_MS or more.
      if (!isRegionFault && latencyMs < LONG_ATTEMPT_MS) throw error;
      const fault = isRegionFault ? error : new RegionFault(name, action, 'unavailable', 'NoAnswerInTime');
      // If the process was frozen meanwhile, as Lambda does after a response, the region may have answered in time.
      if (!endWatch?.() || fault.faultClass !== 'unavailable') {
        const coolDownMs = health?.failed(fault, now(), random());
        this.#events.attempted({ region: name, action: fault.action, latencyMs, fault });
        if (coolDownMs !== undefined) this.#events.coolingDown(name, coolDownMs);
      }
      if (!isRegionFault) throw error;
      return { fault };
    } finally {
      endWatch?.();
    }
  }

  /**
   * Returns how long to wait before round `round + 1`, in milliseconds.
   * - If no region throttles, the delay is exponential with full jitter.
   * - If the preferred region throttles, it probably throttles the whole fleet at the same moment. So the delays spread
   *   the fleet's next calls over seconds. The longest delay shrinks with each round, because the load also shrinks.
   * - If only another region throttles, the delay is between a third of `throttledDelayMs` and all of it.
   */
  #delayMs(round: number, preferredFault: RegionFault | undefined, faults: readonly RegionFault[]): number {
    const { baseDelayMs, longestDelayMs, throttledDelayMs } = this.#policy;
    const draw = this.#dependencies.random();
    const between = (leastMs: number, mostMs: number): number => leastMs + draw * (mostMs - leastMs);
    if (isThrottled(preferredFault)) {
      const mostMs = throttledDelayMs * Math.max(1 / 3, THINNING ** (round - 1));
      const share =
        round === 1 ? FIRST_LEAST + (1 - FIRST_LEAST) * draw ** FIRST_SKEW : LATER_LEAST + (1 - LATER_LEAST) * draw;
      return mostMs * share;
    }
    if (faults.some(isThrottled)) return between(throttledDelayMs / 3, throttledDelayMs);
    return between(0, Math.min(longestDelayMs, baseDelayMs * 2 ** (round - 1)));
  }

  /**
   * Waits for `delayMs` milliseconds.
   * @returns false without waiting if no time for an attempt would remain afterwards
   * @throws KeyfoldError `DeadlineExceeded`, if the deadline passes during the wait
   */
  async #pause(delayMs: number, deadline: Deadline): Promise<boolean> {
    if (!this.#hasTimeAfter(delayMs, deadline)) return false;
    await this.#dependencies.sleep(delayMs, deadline.signal);
    return true;
  }

  /**
   * Moves regions in a cool-down to the end of the list. They stay in the list, because all other regions might fail.
   */
  #inOrder(regions: readonly R[]): R[] {
    const nowMs = this.#dependencies.now();
    const avoidedUntilMs = ({ region }: R): number => this.#health.get(region)?.avoidedUntilMs(nowMs) ?? 0;
    return regions.toSorted((a, b) => avoidedUntilMs(a) - avoidedUntilMs(b));
  }

  /**
   * Returns the regions in the order of preference, because the preferred region may have recovered. If the preferred
   * region throttles, a small share of the requests try it last. This share is small enough not to exhaust the quotas
   * of the other regions, which may be ten times smaller.
   */
  #inLaterOrder(regions: readonly R[], preferredFault: RegionFault | undefined): readonly R[] {
    const triesOthersFirst = isThrottled(preferredFault) && this.#dependencies.random() < SPILL;
    return triesOthersFirst ? [...regions.slice(1), ...regions.slice(0, 1)] : regions;
  }

  #hasTimeAfter(delayMs: number, deadline: Deadline): boolean {
    return this.#dependencies.now() + delayMs + MIN_ATTEMPT_MS <= deadline.atMs;
  }
}

/**
 * Returns the faults so far. Throws `DeadlineExceeded` if none of them is transient, because an untried region might
 * have succeeded.
 */
function outOfTime(faults: ReadonlyMap<Region, RegionFault>): { faults: readonly RegionFault[] } {
  const all = [...faults.values()];
  if (!all.some(isTransient)) throw deadlineExceeded();
  return { faults: all };
}
