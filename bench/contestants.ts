/** Keyfold beside what people would pick instead: the same payloads, in one run. */
import { randomBytes } from 'node:crypto';
import { race, timesAsLong, type Laps, type RaceOptions, type RemoteTask } from './compare.ts';
import { CONTESTANTS, type ContestantName } from './contestants/contestant.ts';
import { canHave, startContestant } from './contestants/process.ts';
import { SIZE_NAMES, SIZES, speedOf, type Figure, type SectionResult, type Speed } from './figures.ts';

const OPERATIONS = ['encrypt', 'decrypt'] as const;
const KEYFOLD = 'Keyfold, library';

/** Races all that this machine can have, size by size. A ratio is how many times as long as Keyfold's library the other took. */
export async function measureContestants(): Promise<SectionResult> {
  const there = await Promise.all(CONTESTANTS.map(canHave));
  const names = CONTESTANTS.filter((_, i) => there[i]);
  return raceOf(names, (name) => `against ${name} `, { rounds: 15, roundMs: 40 });
}

/** The hot library against the floor alone, in more rounds: what a cache, ids, policy and errors cost. 1 is the floor's own speed. */
export function measureLibrary(): Promise<SectionResult> {
  return raceOf(['floor', KEYFOLD], () => '', { rounds: 41, roundMs: 40 });
}

async function raceOf(
  names: readonly ContestantName[],
  told: (name: string) => string,
  options: RaceOptions,
): Promise<SectionResult> {
  const contestants = await Promise.all(names.map(startContestant));
  const speeds: Speed[] = [];
  const figures: Figure[] = [];
  for (const size of SIZE_NAMES) {
    const plaintext = randomBytes(SIZES[size]);
    await Promise.all(contestants.map((contestant) => contestant.take(plaintext)));
    for (const operation of OPERATIONS) {
      const tasks: Record<string, RemoteTask> = {};
      for (const [i, contestant] of contestants.entries()) tasks[names[i] as string] = contestant[operation];
      const laps = await race(tasks, options);
      const own = laps[KEYFOLD] as Laps;
      for (const [name, theirs] of Object.entries(laps)) {
        speeds.push(speedOf(name, operation, size, theirs));
        if (name === KEYFOLD) continue;
        const byCpu = timesAsLong(theirs, own, 'cpuMs').value;
        figures.push({ name: `${operation} ${told(name)}${size}`, ...timesAsLong(theirs, own), byCpu, unit: '×' });
      }
    }
  }
  await Promise.all(contestants.map(({ stop }) => stop()));
  return { figures, speeds };
}
