import type { Passage, Wish } from './fleet.ts';

/** The measures by which policies are compared. */
export interface Measures {
  /** The share of callers who got a response to their first request within its deadline of 28 s. */
  readonly answered: number;
  /** Percentiles of the time from a caller's first request to its response, including the caller's retries. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The number of attempts in all regions, including attempts without a response. */
  readonly calls: number;
  /**
   * The number of attempts above the second region's quota, summed over all seconds. This is the excess load from
   * failover.
   */
  readonly overload: number;
  /** The number of attempts in the second region. */
  readonly spill: number;
  /** The attempts in the second region's busiest second, as a multiple of its quota. */
  readonly spillPeak: number;
  /** The time from the end of the fault until every caller who waited for more than one second has its response. */
  readonly recoveryMs: number;
}

/** A caller who waits longer than this notices the delay. */
const PATIENCE_MS = 1000;

export function measure({ scenario, wishes, calls }: Passage): Measures {
  const { horizonMs, troubleEndsAtMs, regions } = scenario;
  // A caller without a response counts as one who waits until the end of the simulation.
  const endOf = ({ answeredMs = horizonMs }: Wish): number => answeredMs;
  const waits = wishes.map((wish) => endOf(wish) - wish.startMs).toSorted((a, b) => a - b);
  const late = wishes.filter((wish) => endOf(wish) - wish.startMs > PATIENCE_MS).map(endOf);
  const spilt = [...(calls[1]?.values() ?? [])];
  return {
    answered: wishes.filter((wish) => wish.requests === 1 && wish.answeredMs !== undefined).length / wishes.length,
    p50Ms: quantile(waits, 0.5),
    p99Ms: quantile(waits, 0.99),
    calls: calls.flatMap((bySecond) => [...bySecond.values()]).reduce((a, b) => a + b, 0),
    overload: spilt.reduce((sum, inSecond) => sum + Math.max(0, inSecond - (regions[1]?.perSecond ?? 0)), 0),
    spill: spilt.reduce((a, b) => a + b, 0),
    spillPeak: spilt.reduce((a, b) => Math.max(a, b), 0) / (regions[1]?.perSecond ?? 1),
    recoveryMs: late.reduce((a, b) => Math.max(a, b), troubleEndsAtMs) - troubleEndsAtMs,
  };
}

/** The mean of each measure over several seeds. */
export function meanOf(all: readonly Measures[]): Measures {
  const mean = (name: keyof Measures): number => all.reduce((sum, one) => sum + one[name], 0) / all.length;
  return {
    answered: mean('answered'),
    p50Ms: mean('p50Ms'),
    p99Ms: mean('p99Ms'),
    calls: mean('calls'),
    overload: mean('overload'),
    spill: mean('spill'),
    spillPeak: mean('spillPeak'),
    recoveryMs: mean('recoveryMs'),
  };
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
