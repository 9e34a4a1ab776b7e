/** Kills a process at every step of creating and renewing keys. No record that it returned may be lost. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Aftermath } from './aftermath.ts';
import { HOME, type Flaw } from './job.ts';
import { MOMENTS, type KillPoint } from './proxy.ts';
import { SCENARIOS, type Past, type Scenario } from './scenarios.ts';
import { runVictim, type Death } from './victim.ts';
import { KillFixture } from './fixture.ts';

/** The number of processes that run at the same time. */
const WIDTH = 4;

let world: KillFixture;
beforeAll(async () => {
  world = await KillFixture.start();
});
afterAll(() => world.stop());

/** Kills a process that has its own table. Returns how it died, what is wrong afterwards, and the keys at the end. */
async function kill(
  { task }: Scenario,
  past: Past,
  point?: KillPoint,
  flaw?: Flaw,
): Promise<Death & { faults: string[]; keys: string[] }> {
  const tableName = await world.tableWith(past.rows);
  const death = await runVictim({ task, tableName, keys: world.keys, flaw }, world.victims, point);
  const aftermath = new Aftermath(world, tableName);
  const keys = await aftermath.inspect(past, death.returned);
  return { ...death, faults: aftermath.faults, keys };
}

describe('a process', () => {
  it.for(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    'loses no record that it returned, and blocks no other process, if it is killed while %s',
    { timeout: 120_000 },
    async ([, scenario]) => {
      const past = await scenario.past(world);
      const whole = await kill(scenario, past);
      expect(whole).toMatchObject({ end: 'finished', faults: [] });
      expect(whole.steps.toSorted()).toEqual(scenario.steps);

      const points = whole.steps.flatMap((_, i) => MOMENTS.map((moment) => ({ request: i + 1, moment })));
      const deaths = await inParallel(points, (point) => kill(scenario, past, point));
      for (const { end, faults, keys, steps } of deaths) {
        // The keys must be the same as without a kill. Later processes must use the keys that the killed process
        // stored, and create only the missing keys.
        const sound = { end: expect.stringMatching(/^killed/) as string, faults: [], keys: whole.keys };
        expect({ steps, end, faults, keys }).toEqual({ steps, ...sound });
      }
      expect(deaths).toHaveLength(MOMENTS.length * scenario.steps.length);
    },
  );
});

describe('the kill test', () => {
  const [first, , , maintenance] = SCENARIOS;
  it.for<[Flaw, Scenario | undefined, KillPoint, string]>([
    // The process is killed before it queries the second partition's key. By then, its caller has the first partition's
    // record.
    ['acknowledges before it stores', first, { request: 6, moment: 'before' }, 'the record of p does not open'],
    ['stores in two writes', first, { request: 6, moment: 'done' }, 'nothing can be encrypted for p'],
    [
      'removes a wrap before it stores the renewed one',
      maintenance,
      { request: 14, moment: 'done' },
      `does not open in ${HOME} alone`,
    ],
  ])('notices a metastore that %s', async ([flaw, scenario, point, fault]) => {
    if (scenario === undefined) throw new Error('no such scenario');
    const past = await scenario.past(world);
    const { end, faults } = await kill(scenario, past, point, flaw);
    expect(end).toContain('killed');
    expect(faults.join()).toContain(fault);
  });
});

/** Runs a few jobs at a time, in no fixed order. After a failure, no further job begins. */
async function inParallel<T, R>(all: readonly T[], work: (one: T) => Promise<R>): Promise<R[]> {
  const left = [...all];
  const results: R[] = [];
  const some = async (): Promise<void> => {
    for (let one = left.shift(); one !== undefined; one = left.shift()) results.push(await work(one));
  };
  const stop = (error: unknown): never => {
    left.length = 0;
    throw error;
  };
  await Promise.all(Array.from({ length: WIDTH }, () => some().catch(stop)));
  return results;
}
