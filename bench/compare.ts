import { setImmediate } from 'node:timers/promises';

/** A task measured in this process. It returns a promise if it is asynchronous. */
export type Task = () => unknown;

/** A task measured in another process, which times itself. */
export interface RemoteTask {
  /** Runs the task `runs` times in sequence. */
  time(runs: number): Promise<Lap>;
}

/** The time of one or more runs, in milliseconds. */
export interface Lap {
  readonly wallMs: number;
  /** CPU time of the whole process, including its garbage collection threads. */
  readonly cpuMs: number;
}

/** How long one operation of a contestant took, for each round. */
export type Laps = readonly Lap[];

/** The median and the quartiles of a figure over all rounds. */
export interface Spread {
  readonly value: number;
  readonly lower: number;
  readonly upper: number;
}

/** The duration of a comparison. */
export interface RaceOptions {
  readonly rounds?: number;
  /** The duration of each contestant's turn in a round. */
  readonly roundMs?: number;
}

const WARM_UP_MS = 400;

/**
 * Measures contestants in turns within each round, so that other load on the machine slows all of them equally.
 * Tinybench and mitata finish one task before they start the next. In that order, the ratio of two tasks on a shared
 * machine would be mere noise.
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
    // Every second round runs in reverse order, so that no contestant always runs after the same one.
    for (const { task, runs, laps } of round % 2 === 0 ? starters : starters.toReversed()) {
      const { wallMs, cpuMs } = await task.time(runs);
      laps.push({ wallMs: wallMs / runs, cpuMs: cpuMs / runs });
    }
  }
  return Object.fromEntries(starters.map(({ name, laps }) => [name, laps])) as unknown as Record<Name, Laps>;
}

/** The ratio of two contestants' times, computed for each round. */
export function timesAsLong(one: Laps, other: Laps, clock: keyof Lap = 'wallMs'): Spread {
  return spread(one.map((lap, round) => lap[clock] / (other[round] as Lap)[clock]));
}

/** The median and quartiles of the time of one operation. */
export function timeOf(laps: Laps, clock: keyof Lap = 'wallMs'): Spread {
  return spread(laps.map((lap) => lap[clock]));
}

/** Wraps a task of this process so that it times itself. */
export function localTask(task: Task): RemoteTask {
  return {
    time: async (runs) => {
      // Node frees native keys and ciphers between turns of the event loop. Wait here until it has freed those of the
      // previous task. Otherwise, freeing them would slow this task.
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

/** The time of one run in milliseconds, after a warm-up. */
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
