import { KeyfoldError, SessionFactory } from '../../src/index.ts';
import { failoverPolicy } from '../../src/kms/failover-policy.ts';
import { Seeded } from '../../test/support/seeded.ts';
import { ourKms } from './policies.ts';
import { RegionModel, type RegionCondition } from './region-model.ts';
import { EPOCH_MS, makeKeyStore, NAMES, PARTITION } from './key-store.ts';
import { VirtualClock } from './virtual-clock.ts';

/** A documented figure, with its measured value and whether the measurement confirms it. */
export interface Figure {
  readonly what: string;
  readonly shown: string;
  readonly holds: boolean;
}

const CONTAINERS = 400;
/** A constant in place of random numbers. It makes every latency the median, so that only the policies differ. */
const STEADY = 0.25;
const REQUEST_TIMEOUT_MS = 2000;
const PER_SECOND = 1_000_000;
const HEALTHY: RegionCondition = { kind: 'answers', perSecond: PER_SECOND };
const THROTTLES: RegionCondition = { kind: 'answers', perSecond: 0 };
const REGIONS = ['us-west-2', 'us-west-1'].map((name) => ({ name, perSecond: PER_SECOND, medianMs: 8 }));

/**
 * The results for one kind of request over all containers: the median and the maximum time, and the number of attempts.
 */
interface Trial {
  readonly cold: Took;
  readonly next: Took;
  readonly warm: Took;
  readonly attempts: number;
}
interface Took {
  readonly medianMs: number;
  readonly maxMs: number;
}

/**
 * Each container opens a record with a cold cache, and then again with a warm cache. One second later, while the
 * failing region cools down, it opens a record under another System Key. Both regions have the same latency.
 */
async function tryOut(preferred: RegionCondition, other: RegionCondition): Promise<Trial> {
  const random = new Seeded(11).draw;
  const clock = new VirtualClock(random);
  const keyStore = await makeKeyStore(REGIONS);
  const models = REGIONS.map((r) => new RegionModel(r.name, r.perSecond, r.medianMs, clock, () => STEADY));
  [preferred, other].forEach((condition, i) => Object.assign(models[i] ?? {}, { condition }));
  const took: Record<'cold' | 'next' | 'warm', number[]> = { cold: [], next: [], warm: [] };
  const run = async (): Promise<void> => {
    const kms = ourKms(models, clock, random);
    const session = new SessionFactory({ ...NAMES, metastore: keyStore.metastore, kms, now: clock.now }).session(
      PARTITION,
    );
    const send = async (kind: keyof typeof took, record: keyof typeof keyStore.records): Promise<void> => {
      const beganMs = clock.now();
      const limits = { deadlineAtMs: beganMs + 60_000 };
      await session.decrypt(keyStore.records[record], limits).catch((error: unknown) => {
        if (!(error instanceof KeyfoldError)) throw error;
      });
      took[kind].push(clock.now() - beganMs);
    };
    await send('cold', 'present');
    if (other.kind === 'answers' && other.perSecond === 0) return;
    await send('warm', 'present');
    await clock.sleep(1000);
    await send('next', 'older');
  };
  for (let i = 0; i < CONTAINERS; i += 1) clock.at(EPOCH_MS + i * 5, () => void run());
  await clock.run(EPOCH_MS, EPOCH_MS + 120_000);
  const attempts = models.reduce((sum, model) => sum + model.calls, 0);
  return { cold: summary(took.cold), next: summary(took.next), warm: summary(took.warm), attempts };
}

/** Measures, in virtual time, the figures that the documents promise. */
export async function figures(): Promise<Figure[]> {
  const [healthy, hangs, refuses] = [
    await tryOut(HEALTHY, HEALTHY),
    await tryOut({ kind: 'hangs' }, HEALTHY),
    await tryOut({ kind: 'refuses' }, HEALTHY),
  ];
  const worst = await tryOut(THROTTLES, THROTTLES);
  const longest = REQUEST_TIMEOUT_MS + healthy.cold.maxMs;
  const { maxRounds } = failoverPolicy({}, REGIONS.length);
  // In this measurement, each container tries to open only one key, because its first request fails.
  const most = CONTAINERS * (1 + maxRounds * REGIONS.length);
  return [
    figure('the preferred region hangs: time that a warm process waits, ms', hangs.warm.maxMs, healthy.warm.maxMs),
    figure('the preferred region hangs: a cold decrypt, ms', hangs.cold.maxMs, longest),
    ratio('the preferred region hangs: a cold decrypt in its cool-down, × healthy', hangs.next, healthy.next, 1.2),
    ratio('the preferred region refuses: a cold decrypt, × healthy', refuses.cold, healthy.cold, 1.5),
    // Each container opens two System Keys.
    figure(
      `KMS attempts of ${CONTAINERS} containers for two keys each, one region down`,
      hangs.attempts,
      CONTAINERS * 2 * 3,
    ),
    figure(`KMS attempts of ${CONTAINERS} containers if both regions throttle`, worst.attempts, most),
  ];
}

function figure(what: string, value: number, most: number): Figure {
  return { what, shown: `${Math.round(value)} of at most ${Math.round(most)}`, holds: value <= most };
}

function ratio(what: string, own: Took, base: Took, most: number): Figure {
  const value = own.medianMs / base.medianMs;
  return { what, shown: `${value.toFixed(2)} of at most ${most}`, holds: value <= most };
}

function summary(values: readonly number[]): Took {
  const sorted = values.toSorted((a, b) => a - b);
  return { medianMs: sorted[Math.floor(sorted.length / 2)] ?? 0, maxMs: sorted.at(-1) ?? 0 };
}
