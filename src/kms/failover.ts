import { deadlineExceeded } from '../async/deadline.ts';
import type { Clock } from '../async/clock.ts';
import type { Deadline } from '../async/deadline.ts';
import type { FailoverPolicy } from './failover-policy.ts';
import { RegionFault, type KmsAction } from './faults.ts';
import type { KmsRegion } from './kms-region.ts';
import { isTransient, RegionHealth, type RegionState } from './region-health.ts';

/** What failing over needs of the world. Passed in, so that a test or a simulation has a world of its own. */
export interface FailoverDependencies {
  readonly now: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Resolves after so long; rejects with the signal's reason where that comes first. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
}

/** What an operator wants to know of KMS and no caller sees. */
export interface KmsEvents {
  /** One attempt in a region has ended, with an answer or with a fault. */
  attempted(attempt: Attempt): void;
  /** A region failed and is asked last for so long. */
  coolingDown(region: string, coolDownMs: number): void;
  /** A request was answered in another region than the preferred one. */
  failedOver(region: string): void;
  /** A System Key was wrapped without this region, which cannot open it. */
  wrapMissing(region: string): void;
}

/** For who wants to know nothing. */
export const NO_EVENTS: KmsEvents = {
  attempted: () => {},
  coolingDown: () => {},
  failedOver: () => {},
  wrapMissing: () => {},
};

/** One attempt to have something done in a region: one call, or several where a System Key has several wraps there. */
export interface Attempt {
  readonly region: string;
  readonly action: KmsAction;
  readonly latencyMs: number;
  /** Absent where it succeeded. */
  readonly fault?: RegionFault;
}

/** Something to have done by whichever region answers. */
export interface KmsRequest<T> {
  readonly action: KmsAction;
  readonly deadline: Deadline;
  /** Throws a RegionFault where the region fails. */
  readonly ask: (region: KmsRegion) => Promise<T>;
}

/** The first region's answer, or each region's last fault. */
export type FirstAnswer<T> =
  { readonly region: KmsRegion; readonly answer: T } | { readonly faults: readonly RegionFault[] };

/** How one attempt ended. */
type Outcome<T> = { readonly answer: T } | { readonly fault: RegionFault };

// What a simulated fleet fares best with: docs/fleet.md.
/** After the first round, how likely a less preferred region is asked instead of the preferred one that throttles. */
const SPILL = 0.06;
/** How much shorter each delay is than the one before while the preferred region throttles. */
const THINNING = 0.84;
/** The least of those delays as a share of the most, and how much denser the first is towards the least. */
const FIRST_LEAST = 0.16;
const FIRST_SKEW = 1.45;
const LATER_LEAST = 0.125;

/** Less time than this is not enough for an attempt, which is then not begun. */
const MIN_ATTEMPT_MS = 50;

/** An attempt that is cut off at the deadline after this long counts as its region's failure. */
const LONG_ATTEMPT_MS = 500;

/** Goes through regions until one answers, and remembers which to spare. All that tries KMS again is here. */
export class Failover {
  readonly #health: ReadonlyMap<string, RegionHealth>;
  readonly #policy: FailoverPolicy;
  readonly #world: FailoverDependencies;
  readonly #events: KmsEvents;

  /** `regions` in the order of preference. */
  constructor(regions: readonly KmsRegion[], policy: FailoverPolicy, world: FailoverDependencies, events: KmsEvents) {
    this.#health = new Map(regions.map(({ region }) => [region, new RegionHealth(region, policy)]));
    this.#policy = policy;
    this.#world = world;
    this.#events = events;
  }

  /** Each region as last seen, in the order of preference; makes no call. */
  states(): RegionState[] {
    return [...this.#health.values()].map((health) => health.stateAt(this.#world.now()));
  }

  /**
   * The first answer of these regions, the last fault of each where there is none. In the first round they are asked in
   * order, the spared ones last, and one that fails is followed by the next at once. Those that may recover are gone
   * through again while rounds and time are left, until one throttles: those after it have had their chance.
   * @throws the deadline's reason
   */
  async firstAnswer<T>(
    regions: readonly KmsRegion[],
    errand: KmsRequest<T>,
    maxRounds = this.#policy.maxRounds,
  ): Promise<FirstAnswer<T>> {
    const { deadline } = errand;
    const faults = new Map<KmsRegion, RegionFault>();
    const [home] = regions;
    let hopeful = regions;
    let order: readonly KmsRegion[] = this.#inOrder(regions);
    for (let round = 1; ; round += 1) {
      for (const region of order) {
        if (!this.#hasTimeAfter(0, deadline)) return outOfTime(faults);
        const outcome = await this.#attempt(region, errand);
        if ('answer' in outcome) return { region, answer: outcome.answer };
        faults.set(region, outcome.fault);
        if (this.#isFinal(outcome.fault)) return { faults: [...faults.values()] };
        if (round > 1 && outcome.fault.faultClass === 'throttled') break;
      }
      hopeful = hopeful.filter((region) => isTransient(faults.get(region)));
      const all = [...faults.values()];
      if (hopeful.length === 0 || round === maxRounds) return { faults: all };
      const atHome = home && faults.get(home);
      if (!(await this.#pause(this.#delayMs(round, atHome, all), deadline))) return { faults: all };
      order = this.#inLaterOrder(hopeful, atHome);
    }
  }

  /**
   * One attempt in one region.
   * @throws what is not the region's fault: the deadline's reason
   */
  async #attempt<T>(region: KmsRegion, { action, ask }: KmsRequest<T>): Promise<Outcome<T>> {
    const health = this.#health.get(region.region);
    const { now, random } = this.#world;
    const beganAtMs = now();
    health?.begin(beganAtMs);
    try {
      const answer = await ask(region);
      health?.succeeded(now());
      this.#events.attempted({ region: region.region, action, latencyMs: elapsedSince(beganAtMs, now()) });
      return { answer };
    } catch (error) {
      const latencyMs = elapsedSince(beganAtMs, now());
      const isRegions = error instanceof RegionFault;
      // The deadline has come. A region that had not answered for so long is not well, even if it might have.
      if (!isRegions && latencyMs < LONG_ATTEMPT_MS) throw error;
      const fault = isRegions ? error : new RegionFault(region.region, action, 'unavailable', 'NoAnswerInTime');
      const coolDownMs = health?.failed(fault, now(), random());
      this.#events.attempted({ region: region.region, action: fault.action, latencyMs, fault });
      if (coolDownMs !== undefined) this.#events.coolingDown(region.region, coolDownMs);
      if (!isRegions) throw error;
      return { fault };
    }
  }

  /**
   * How long to wait before round `round + 1`. Where nothing throttles, a full-jitter exponential delay. Where a region
   * does, the fleet was throttled at the same moment, and spread over seconds it soonest finds room: the sooner the
   * later it is, as the storm thins out, unless it is a less preferred region alone that is full.
   */
  #delayMs(round: number, atHome: RegionFault | undefined, faults: readonly RegionFault[]): number {
    const { baseDelayMs, longestDelayMs, throttledDelayMs } = this.#policy;
    const draw = this.#world.random();
    const between = (leastMs: number, mostMs: number): number => leastMs + draw * (mostMs - leastMs);
    if (atHome?.faultClass === 'throttled') {
      const mostMs = throttledDelayMs * Math.max(1 / 3, THINNING ** (round - 1));
      const share =
        round === 1 ? FIRST_LEAST + (1 - FIRST_LEAST) * draw ** FIRST_SKEW : LATER_LEAST + (1 - LATER_LEAST) * draw;
      return mostMs * share;
    }
    const isThrottled = faults.some(({ faultClass }) => faultClass === 'throttled');
    if (isThrottled) return between(throttledDelayMs / 3, throttledDelayMs);
    return between(0, Math.min(longestDelayMs, baseDelayMs * 2 ** (round - 1)));
  }

  /**
   * Waits.
   * @returns false, at once, where nothing could be done after it
   * @throws the deadline's reason
   */
  async #pause(delayMs: number, deadline: Deadline): Promise<boolean> {
    if (!this.#hasTimeAfter(delayMs, deadline)) return false;
    await this.#world.sleep(delayMs, deadline.signal);
    return true;
  }

  /** Those that are spared come last, but they come: one of them may be the last hope. */
  #inOrder(regions: readonly KmsRegion[]): KmsRegion[] {
    const nowMs = this.#world.now();
    const avoidedUntilMs = ({ region }: KmsRegion): number => this.#health.get(region)?.avoidedUntilMs(nowMs) ?? 0;
    return regions.toSorted((a, b) => avoidedUntilMs(a) - avoidedUntilMs(b));
  }

  /**
   * In the order of preference: the preferred region may be back. Where it throttles, a few try their luck elsewhere,
   * so that another region's quota, which may be a tenth of its, is used and not stormed.
   */
  #inLaterOrder(regions: readonly KmsRegion[], atHome: RegionFault | undefined): readonly KmsRegion[] {
    const triesElsewhere = atHome?.faultClass === 'throttled' && this.#world.random() < SPILL;
    return triesElsewhere ? [...regions.slice(1), ...regions.slice(0, 1)] : regions;
  }

  #hasTimeAfter(delayMs: number, deadline: Deadline): boolean {
    return this.#world.now() + delayMs + MIN_ATTEMPT_MS <= deadline.atMs;
  }

  #isFinal(fault: RegionFault): boolean {
    return this.#policy.onKeyRefused === 'fail' && fault.faultClass === 'misconfigured';
  }
}

/** How long ago a time was; 0 if the clock has stepped back since. */
function elapsedSince(beganAtMs: number, nowMs: number): number {
  return Math.max(0, nowMs - beganAtMs);
}

/**
 * What was learnt, unless that would have it that no waiting helps: a region that was not asked might have answered.
 */
function outOfTime(faults: ReadonlyMap<KmsRegion, RegionFault>): { faults: readonly RegionFault[] } {
  const all = [...faults.values()];
  if (!all.some(isTransient)) throw deadlineExceeded();
  return { faults: all };
}
