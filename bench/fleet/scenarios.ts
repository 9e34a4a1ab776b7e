import type { RegionCondition } from './region-model.ts';

/** A container's cache miss: when it happens, and which of the service's System Keys the container needs. */
export interface Visit {
  readonly atMs: number;
  readonly key: 'present' | 'older';
}

/** A situation to simulate. Times count from the start of the measurement, before which the fleet may warm up. */
export interface Scenario {
  readonly id: string;
  readonly title: string;
  /** The regions, beginning with the preferred one. */
  readonly regions: readonly { readonly name: string; readonly perSecond: number; readonly medianMs: number }[];
  /** How the behaviour of the preferred region changes over time. */
  readonly turns: readonly { readonly atMs: number; readonly condition: RegionCondition }[];
  /** When the recovery time begins: at the start of the load, or when the region is back. */
  readonly troubleEndsAtMs: number;
  readonly horizonMs: number;
  /** The cache misses of each container, in order. */
  readonly containers: (random: () => number) => Visit[][];
  /** The number of seeds to run. More seeds reduce the effect of chance on small fleets. */
  readonly runs: number;
}

const MAX_AGE_MS = 3_600_000;
const SECOND = 1000;

/** A scenario in which many containers start within one second, while other work uses part of the KMS quota. */
export function coldStart(id: string, containers: number, perSecond: number, runs: number): Scenario {
  return {
    id,
    title: `${count(containers)} containers start within a second; ${count(perSecond)}/s of the quota are left`,
    regions: regionsOf(perSecond),
    turns: [],
    troubleEndsAtMs: 0,
    horizonMs: 120 * SECOND,
    containers: (random) => times(containers, () => [{ atMs: Math.floor(random() * SECOND), key: 'present' }]),
    runs,
  };
}

/** The parameters of a region's outage. */
interface BadDay {
  readonly id: string;
  readonly death: 'hangs' | 'refuses';
  /** The number of cache misses per second, each of which needs KMS. */
  readonly demand: number;
  /** The quota of the preferred region in calls per second. The second region has a tenth of it. */
  readonly perSecond: number;
  /** The calls per second that the preferred region serves while it throttles. */
  readonly throttledTo: number;
  readonly runs: number;
}

/**
 * A scenario in which the preferred region throttles, goes down and returns. Meanwhile containers start, and warm ones
 * load their keys again.
 */
function badDay({ id, death, demand, perSecond, throttledTo, runs }: BadDay): Scenario {
  const [throttles, dies, back, loadEnds] = [20, 50, 90, 130].map((s) => s * SECOND) as [
    number,
    number,
    number,
    number,
  ];
  const share = demand * 10 <= perSecond ? 'can carry the load' : 'cannot carry the load';
  return {
    id,
    title: `the preferred region throttles, ${death}, comes back; the second ${share}`,
    regions: regionsOf(perSecond),
    turns: [
      { atMs: throttles, condition: { kind: 'answers', perSecond: throttledTo } },
      { atMs: dies, condition: { kind: death } },
      { atMs: back, condition: { kind: 'answers', perSecond } },
    ],
    troubleEndsAtMs: back,
    horizonMs: loadEnds + 60 * SECOND,
    containers: (random) => steadyLoad(random, demand, loadEnds),
    runs,
  };
}

/**
 * A quarter of the requests come from warm containers whose key has reached its maximum age. The rest come from new
 * containers, each of which requests the current System Key and, within 20 seconds, an older System Key.
 */
function steadyLoad(random: () => number, demand: number, untilMs: number): Visit[][] {
  const seconds = untilMs / SECOND;
  const moment = (): number => Math.floor(random() * untilMs);
  const warm = times((demand * seconds) / 4, (): Visit[] => {
    const atMs = moment();
    return [
      { atMs: atMs - MAX_AGE_MS - SECOND, key: 'present' },
      { atMs, key: 'present' },
    ];
  });
  const cold = times((demand * seconds * 3) / 8, (): Visit[] => {
    const atMs = moment();
    return [
      { atMs, key: 'present' },
      { atMs: atMs + SECOND + Math.floor(random() * 19 * SECOND), key: 'older' },
    ];
  });
  return [...warm, ...cold];
}

/** Two regions on the same continent. The second region has a tenth of the first region's quota. */
function regionsOf(perSecond: number): Scenario['regions'] {
  return [
    { name: 'us-west-2', perSecond, medianMs: 8 },
    { name: 'us-west-1', perSecond: perSecond / 10, medianMs: 25 },
  ];
}

function times<T>(n: number, make: () => T): T[] {
  return Array.from({ length: Math.round(n) }, make);
}

function count(n: number): string {
  return n.toLocaleString('en');
}

/** The scenarios of `npm run fleet`. A `scale` below 1 makes every fleet and quota smaller, for a quick run. */
export function scenarios(scale = 1): Scenario[] {
  const of = (n: number): number => Math.max(1, Math.round(n * scale));
  return [
    coldStart('cold-1000', of(1000), of(100), 10),
    coldStart('cold-100000', of(100_000), of(20_000), 1),
    badDay({ id: 'hangs', death: 'hangs', demand: 80, perSecond: 1000, throttledTo: 40, runs: 1 }),
    badDay({ id: 'refuses', death: 'refuses', demand: 80, perSecond: 1000, throttledTo: 40, runs: 1 }),
    badDay({
      id: 'hangs-overload',
      death: 'hangs',
      demand: of(150),
      perSecond: of(1000),
      throttledTo: of(150),
      runs: 1,
    }),
    badDay({
      id: 'refuses-overload',
      death: 'refuses',
      demand: of(150),
      perSecond: of(1000),
      throttledTo: of(150),
      runs: 1,
    }),
  ];
}
