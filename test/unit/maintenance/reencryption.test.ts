import { expect, it } from 'vitest';
import { Reencryption } from '../../../src/maintenance/reencryption/reencryption.ts';
import { HandClock } from '../../../src/testing/hand-clock.ts';

/**
 * Processes a page without rows for each step, and moves the clock by the step meanwhile. Returns how often the
 * position was saved.
 */
async function savesOf(stepsMs: readonly number[]): Promise<number> {
  const clock = new HandClock();
  clock.advance(60_000);
  let saves = 0;
  const reencryption = new Reencryption({
    source: {
      pages: async function* () {
        for (const stepMs of stepsMs) {
          clock.advance(stepMs);
          yield [];
        }
      },
      replace: async () => 'written',
      reread: async (row) => row,
      position: async () => ({}),
    },
    verbs: { apply: async () => ({ cells: new Map(), keys: [] }) },
    quarantine: async () => {},
    save: async () => void (saves += 1),
    now: clock.now,
  });
  await reencryption.run();
  return saves;
}

it('a run saves its position every two seconds, even if the clock is set back', async () => {
  expect(await savesOf([500, 500, 500, 499])).toBe(0);
  expect(await savesOf([1000, 1000, 1000])).toBe(1);
  expect(await savesOf([-30_000, 500, 1500])).toBe(2);
});
