import type { RegionCondition } from './region-model.ts';

/** When a container asks for a key that it does not hold, and for which of the service's System Keys. */
export interface Visit {
  readonly atMs: number;
  readonly key: 'present' | 'older';
}

/** What befalls a fleet. Times are from the start of what is measured; before it the fleet may have warmed up. */
export interface Scenario {
  readonly id: string;
  readonly title: string;
  /** The preferred region first. */
  readonly regions: readonly { readonly name: string; readonly perSecond: number; readonly medianMs: number }[];
  /** What becomes of the preferred region, and when. */
  readonly turns: readonly { readonly atMs: number; readonly condition: RegionCondition }[];
  /** The moment from which recovery is counted: the storm's start, or the region's return. */
  readonly troubleEndsAtMs: number;
  readonly horizonMs: number;
  /** The visits of each container, in order. */
  readonly containers: (random: () => number) => Visit[][];
  /** How many seeds are run, so that a small fleet's chance does not decide. */
  readonly runs: number;
}

const MAX_AGE_MS = 3_600_000;
const SECOND = 1000;

/** So many containers start within a second, under a quota of which other work has left so much. */
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

/** How a region's bad day goes. */
interface BadDay {
  readonly id: string;
  readonly death: 'hangs' | 'refuses';
  /** Keys asked of KMS a second. */
  readonly demand: number;
  /** What the preferred region answers a second; the second region a tenth of it. */
  readonly perSecond: number;
  /** What it answers while it throttles. */
  readonly throttledTo: number;
  readonly runs: number;
}

/** The preferred region throttles, dies and comes back, while containers start and warm ones reload their keys. */
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
 * A quarter of the demand is warm containers whose key has reached its maximum age, the rest new containers, each of
 * which asks for the present System Key and within twenty seconds for an older one.
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

/** Of the quota, the second region has a tenth; it is on the same continent. */
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

/** What `npm run fleet` shows; `scale` makes every fleet and quota smaller, for a quick look. */
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
