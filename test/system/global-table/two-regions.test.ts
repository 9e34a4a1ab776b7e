import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../integration/global-table/run.ts';
import { startEmulators, type Emulators } from '../../integration/global-table/two-regions.ts';

const SEEDS = [1, 2, 13];
/** Events that must occur in at least one of the runs. Otherwise the runs prove nothing. */
const TOLD = ['record', 'rewrap', 'revoked', 'wrap renewed', 'cut', 'KeyNotYetVisible', 'break KMS', 'restart'];

let emulators: Emulators;
const counted = new Set<string>();

beforeAll(async () => {
  emulators = await startEmulators();
});
afterAll(() => Promise.all([emulators.dynamoDb.close(), emulators.kms.close()]));

describe(
  'two regions on a Global Table under rotations, revocations and network failures',
  {
    timeout: 60_000,
  },
  () => {
    it.for(SEEDS)('lose no record and no revocation if region suffixes are on (seed %i)', async (seed) => {
      const { log, lost } = await run(emulators, seed, true);
      for (const what of Object.keys(log.counts)) counted.add(what);
      expect(log.faults, `seed ${seed}, whose last steps were\n${log.tail()}\n`).toEqual([]);
      expect(lost).toEqual([]);
    });

    it('together, the runs cover every kind of event that the test is meant to cover', () => {
      expect(TOLD.filter((what) => !counted.has(what))).toEqual([]);
    });

    it.for(SEEDS)(
      'lose records if region suffixes are off, which shows that the test notices a loss (seed %i)',
      async (seed) => {
        const { lost } = await run(emulators, seed, false);
        expect(lost).not.toEqual([]);
      },
    );
  },
);
