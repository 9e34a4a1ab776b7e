import { setImmediate } from 'node:timers/promises';

/** One thing measured; returns a promise where it is asynchronous. */
export type Task = () => unknown;

/** How fast `subject` was beside `base`, over rounds in turn. */
export interface Comparison {
  /** Base's time over the subject's: above 1 the subject is the faster. The median of the rounds, and the quartiles. */
  readonly ratio: number;
  readonly lower: number;
  readonly upper: number;
  /** The subject's operations a second in its median round; of little meaning on a machine that others share. */
  readonly perSecond: number;
}

const ROUNDS = 31;
const ROUND_MS = 40;

/** Runs two tasks in turn, so that what slows the machine slows both, and compares them round by round. */
export async function compare(base: Task, subject: Task): Promise<Comparison> {
  await timeOf(base, 200);
  await timeOf(subject, 200);
  const baseRuns = await runsFor(base);
  const subjectRuns = await runsFor(subject);
  const ratios: number[] = [];
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const order = round % 2 === 0;
    const first = order ? (await timeOf(base, baseRuns)) / baseRuns : 0;
    const own = (await timeOf(subject, subjectRuns)) / subjectRuns;
    const other = order ? first : (await timeOf(base, baseRuns)) / baseRuns;
    ratios.push(other / own);
    times.push(own);
  }
  return {
    ratio: quantile(ratios, 0.5),
    lower: quantile(ratios, 0.25),
    upper: quantile(ratios, 0.75),
    perSecond: 1000 / quantile(times, 0.5),
  };
}

/** How many runs fill a round. */
async function runsFor(task: Task): Promise<number> {
  const probe = 20;
  return Math.max(3, Math.round((ROUND_MS * probe) / (await timeOf(task, probe))));
}

/** Milliseconds. */
async function timeOf(task: Task, runs: number): Promise<number> {
  // Node frees native keys and ciphers between turns of its loop: what one task left must not be paid by the other.
  await setImmediate();
  const start = process.hrtime.bigint();
  for (let i = 0; i < runs; i += 1) {
    const result = task();
    if (result instanceof Promise) await result;
  }
  return Number(process.hrtime.bigint() - start) / 1e6;
}

function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
