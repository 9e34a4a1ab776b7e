import { KeyfoldError, SessionFactory } from '../../src/index.ts';
import { Seeded } from '../../test/support/seeded.ts';
import { kmsMaker, type OurChanges, type PolicyName } from './policies.ts';
import { RegionModel } from './region-model.ts';
import type { Scenario, Visit } from './scenarios.ts';
import { EPOCH_MS, makeKeyStore, NAMES, PARTITION } from './key-store.ts';
import { VirtualClock } from './virtual-clock.ts';

/** The time that a request may take: the HTTP deadline of 28 s, less the margin. */
const REQUEST_MS = 27_500;
const MAX_RETRY_SECONDS = 5;

/** One caller, from its first request to its response. Times count from the start of the measurement. */
export interface Wish {
  readonly startMs: number;
  /** Absent if the caller had no response by the end of the simulation. */
  answeredMs?: number;
  /** The number of requests that the caller sent. */
  requests: number;
}

/** The outcome of one simulation. */
export interface Passage {
  readonly scenario: Scenario;
  readonly wishes: readonly Wish[];
  /** For each region, the number of calls per second. */
  readonly calls: readonly ReadonlyMap<number, number>[];
}

/** Simulates a scenario for a fleet. Each container has its own cache and KMS policy. */
export async function sendFleet(
  scenario: Scenario,
  policy: PolicyName,
  seed: number,
  changes: OurChanges = {},
): Promise<Passage> {
  // The load below uses another random number generator, so that every policy gets the same load.
  const random = new Seeded(seed + 1).draw;
  const clock = new VirtualClock(random);
  const models = scenario.regions.map((r) => new RegionModel(r.name, r.perSecond, r.medianMs, clock, random));
  const keyStore = await makeKeyStore(scenario.regions);
  const makeKms = await kmsMaker(policy, random, changes);
  for (const { atMs, condition } of scenario.turns) {
    clock.at(EPOCH_MS + atMs, () => {
      if (models[0] !== undefined) models[0].condition = condition;
    });
  }
  const wishes: Wish[] = [];
  const troubles: unknown[] = [];
  let beginsMs = 0;
  for (const visits of scenario.containers(new Seeded(seed).draw)) {
    let container: SessionFactory | undefined;
    const send = async ({ key }: Visit): Promise<void> => {
      container ??= new SessionFactory({
        ...NAMES,
        metastore: keyStore.metastore,
        kms: makeKms(models, clock),
        now: clock.now,
      });
      const session = container.session(PARTITION);
      const record = keyStore.records[key];
      await seek(clock, random, wishes, (deadlineAtMs) => session.decrypt(record, { deadlineAtMs }));
    };
    for (const visit of visits) {
      beginsMs = Math.min(beginsMs, visit.atMs);
      clock.at(EPOCH_MS + visit.atMs, () => void send(visit).catch((error: unknown) => troubles.push(error)));
    }
  }
  await clock.run(EPOCH_MS + beginsMs, EPOCH_MS + scenario.horizonMs);
  if (troubles.length > 0) throw new AggregateError(troubles, 'a request failed permanently');
  return {
    scenario,
    wishes: wishes.filter(({ startMs }) => startMs >= 0),
    calls: models.map(({ callsBySecond }) => sinceEpoch(callsBySecond)),
  };
}

/**
 * Simulates a caller. After a retryable error, the caller waits for the API's `Retry-After` and sends its request
 * again.
 */
async function seek(
  clock: VirtualClock,
  random: () => number,
  wishes: Wish[],
  request: (deadlineAtMs: number) => Promise<unknown>,
): Promise<void> {
  const wish: Wish = { startMs: clock.now() - EPOCH_MS, requests: 0 };
  wishes.push(wish);
  for (;;) {
    wish.requests += 1;
    try {
      await request(clock.now() + REQUEST_MS);
      wish.answeredMs = clock.now() - EPOCH_MS;
      return;
    } catch (error) {
      if (!(error instanceof KeyfoldError && error.retryable)) throw error;
    }
    await clock.sleep(1000 * (1 + Math.floor(random() * MAX_RETRY_SECONDS)));
  }
}

function sinceEpoch(callsBySecond: ReadonlyMap<number, number>): Map<number, number> {
  const entries = [...callsBySecond].map(([second, calls]) => [second - EPOCH_MS / 1000, calls] as const);
  return new Map(entries.filter(([second]) => second >= 0));
}
