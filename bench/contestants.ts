/** Benchmark section: compares Keyfold with alternatives, on the same payloads and in the same run. */
import { randomBytes } from 'node:crypto';
import { race, timesAsLong, type Lap, type RemoteTask } from './compare.ts';
import { CONTESTANTS, type ContestantName } from './contestants/contestant.ts';
import { installNpmContestants } from './contestants/npm-packages.ts';
import { canHave, startContestant } from './contestants/process.ts';
import { SIZE_NAMES, SIZES, speedOf, type Figure, type SectionResult, type Speed } from './figures.ts';

const OPERATIONS = ['encrypt', 'decrypt'] as const;
const KEYFOLD = 'Keyfold, library';

/**
 * Compares all contestants that this machine can run, for each payload size.
 * A ratio is the time of the other contestant divided by the time of Keyfold's library.
 */
export async function measureContestants(): Promise<SectionResult> {
  await installNpmContestants();
  const there = await Promise.all(CONTESTANTS.map(canHave));
  const names = CONTESTANTS.filter((_, i) => there[i]);
  return raceOf(names, (name) => `against ${name} `, { heats: 1, rounds: 15 });
}

/**
 * Compares the warm library with the floor (bench/floor.ts), with more restarts, and so with more rounds, than {@link
 * measureContestants}. The ratio shows how much time the cache, the IDs, the policy and the errors add. A ratio of 1
 * means that the library is as fast as the floor.
 */
export function measureLibrary(): Promise<SectionResult> {
  return raceOf(['floor', KEYFOLD], () => '', { heats: 5, rounds: 15 });
}

/**
 * How many times the contestants are restarted, and how many rounds follow each restart. The memory layout differs
 * after each restart, so restarts average out its effect.
 */
interface Heats {
  readonly heats: number;
  readonly rounds: number;
}

async function raceOf(
  names: readonly ContestantName[],
  told: (name: string) => string,
  { heats, rounds }: Heats,
): Promise<SectionResult> {
  const races = SIZE_NAMES.flatMap((size) => OPERATIONS.map((operation) => ({ size, operation })));
  const lapsOf = races.map(() => Object.fromEntries(names.map((name) => [name, [] as Lap[]])));
  for (let heat = 0; heat < heats; heat += 1) {
    const contestants = await Promise.all(names.map(startContestant));
    for (const [i, { size, operation }] of races.entries()) {
      const plaintext = randomBytes(SIZES[size]);
      await Promise.all(contestants.map((contestant) => contestant.take(plaintext)));
      const tasks = Object.fromEntries(names.map((name, at) => [name, contestants[at]?.[operation] as RemoteTask]));
      for (const [name, laps] of Object.entries(await race(tasks, { rounds }))) lapsOf[i]?.[name]?.push(...laps);
    }
    await Promise.all(contestants.map(({ stop }) => stop()));
  }
  const speeds: Speed[] = [];
  const figures: Figure[] = [];
  for (const [i, { size, operation }] of races.entries()) {
    const laps = lapsOf[i] ?? {};
    const own = laps[KEYFOLD] ?? [];
    for (const [name, theirs] of Object.entries(laps)) {
      speeds.push(speedOf(name, operation, size, theirs));
      if (name === KEYFOLD) continue;
      const byCpu = timesAsLong(theirs, own, 'cpuMs').value;
      figures.push({ name: `${operation} ${told(name)}${size}`, ...timesAsLong(theirs, own), byCpu, unit: '×' });
    }
  }
  return { figures, speeds };
}
