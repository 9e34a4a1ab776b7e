import { setImmediate } from 'node:timers/promises';

/** One thing measured in this process; returns a promise where it is asynchronous. */
export type Task = () => unknown;

/** One thing measured in another process, which times itself. */
export interface RemoteTask {
  /** Does it so many times, one after the other. */
  time(runs: number): Promise<Lap>;
}

/** How long some runs took, or one of them, in milliseconds. */
export interface Lap {
  readonly wallMs: number;
  /** Of the whole process, the threads that collect garbage too. */
  readonly cpuMs: number;
}

/** What one contestant took for one operation, round by round. */
export type Laps = readonly Lap[];

/** A figure over all rounds: the median, and the quartiles. */
export interface Spread {
  readonly value: number;
  readonly lower: number;
  readonly upper: number;
}

/** How long contestants race. */
export interface RaceOptions {
  readonly rounds?: number;
  /** How long each contestant's turn in a round is. */
  readonly roundMs?: number;
}

const WARM_UP_MS = 400;

/**
 * Lets contestants take turns, each for a part of every round, so that what slows the machine slows all of them. Neither tinybench nor
 * mitata does this: they measure one task after the other, and on a machine that others share the ratio of the two is then noise.
 */
export async function race<Name extends string>(
  contestants: Readonly<Record<Name, Task | RemoteTask>>,
  { rounds = 31, roundMs = 40 }: RaceOptions = {},
): Promise<Record<Name, Laps>> {
  const starters: { name: Name; task: RemoteTask; runs: number; laps: Lap[] }[] = [];
  for (const name of Object.keys(contestants) as Name[]) {
    const contestant: Task | RemoteTask = contestants[name];
    const task = typeof contestant === 'function' ? localTask(contestant) : contestant;
    starters.push({ name, task, runs: Math.max(1, Math.round(roundMs / (await warmUp(task)))), laps: [] });
  }
  for (let round = 0; round < rounds; round += 1) {
    // There and back, so that nobody always follows the same one.
    for (const { task, runs, laps } of round % 2 === 0 ? starters : starters.toReversed()) {
      const { wallMs, cpuMs } = await task.time(runs);
      laps.push({ wallMs: wallMs / runs, cpuMs: cpuMs / runs });
    }
  }
  return Object.fromEntries(starters.map(({ name, laps }) => [name, laps])) as unknown as Record<Name, Laps>;
}

/** How many times as long the one took as the other, compared within each round. */
export function timesAsLong(one: Laps, other: Laps, clock: keyof Lap = 'wallMs'): Spread {
  return spread(one.map((lap, round) => lap[clock] / (other[round] as Lap)[clock]));
}

/** The time of one operation. */
export function timeOf(laps: Laps, clock: keyof Lap = 'wallMs'): Spread {
  return spread(laps.map((lap) => lap[clock]));
}

/** A task that times itself in this process. */
export function localTask(task: Task): RemoteTask {
  return {
    time: async (runs) => {
      // Node frees native keys and ciphers between turns of its loop: what one task left must not be paid by the next.
      await setImmediate();
      const cpu = process.cpuUsage();
      const start = process.hrtime.bigint();
      for (let i = 0; i < runs; i += 1) {
        const result = task();
        if (result instanceof Promise) await result;
      }
      const wallMs = Number(process.hrtime.bigint() - start) / 1e6;
      const { user, system } = process.cpuUsage(cpu);
      return { wallMs, cpuMs: (user + system) / 1000 };
    },
  };
}

/** How long one run takes once the code is compiled, in milliseconds. */
async function warmUp(task: RemoteTask): Promise<number> {
  let spentMs = 0;
  let eachMs = Infinity;
  for (let chunk = 1; spentMs < WARM_UP_MS; chunk *= 2) {
    const { wallMs } = await task.time(chunk);
    spentMs += wallMs;
    eachMs = Math.min(eachMs, wallMs / chunk);
  }
  return eachMs;
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
  return { value: at(0.5), lower: at(0.25), upper: at(0.75) };
}
