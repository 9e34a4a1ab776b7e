import type { Passage, Wish } from './fleet.ts';

/** The measures by which policies are compared. */
export interface Measures {
  /** The share of callers whose first request was answered within its deadline of 28 s. */
  readonly answered: number;
  /** Percentiles of the time from a caller's first request to its answer, including the caller's retries. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Attempts in all regions, including those without an answer. */
  readonly calls: number;
  /** Attempts in the second region above its quota, summed over all seconds. They are the excess load of failover. */
  readonly overload: number;
  /** All attempts in the second region. */
  readonly spill: number;
  /** Attempts in the second region in its worst second, as a multiple of its quota. */
  readonly spillPeak: number;
  /** Time from the end of the fault until the last caller that waited for more than one second has its answer. */
  readonly recoveryMs: number;
}

/** A wait above this counts as noticeable. */
const PATIENCE_MS = 1000;

export function measure({ scenario, wishes, calls }: Passage): Measures {
  const { horizonMs, troubleEndsAtMs, regions } = scenario;
  // A caller without an answer counts as waiting until the horizon.
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

/** The mean of the measures over several seeds. */
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
