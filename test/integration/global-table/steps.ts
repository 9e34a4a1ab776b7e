import { DAY_MS, MINUTE_MS } from '../../support/fakes.ts';
import type { Seeded } from '../../support/seeded.ts';

/** How often each kind of step occurs, relative to the others. */
const WEIGHTS = {
  encrypt: 24,
  'encrypt at once': 6,
  decrypt: 30,
  rewrap: 8,
  wait: 14,
  'wait long': 5,
  cut: 3,
  heal: 4,
  'break KMS': 5,
  'mend KMS': 4,
  'replace KMS key': 2,
  maintain: 6,
  revoke: 5,
  'maintain and revoke': 4,
  restart: 6,
};

/** One step of a run. */
export interface Step {
  readonly do: keyof typeof WEIGHTS;
  /** Random numbers that pick a process, a record, a row or a partition. */
  readonly pick: readonly [number, number, number];
  /** How much time passes before the step. */
  readonly waitMs: number;
}

const SHORT_MS = [1000, 5000, MINUTE_MS, 3 * MINUTE_MS];
const LONG_MS = [20 * MINUTE_MS, 65 * MINUTE_MS, 30 * DAY_MS, 83 * DAY_MS, 91 * DAY_MS];

/** Draws the steps of a run in advance, so that the same steps can run both with and without region suffixes. */
export function drawSteps(seeded: Seeded, count: number): Step[] {
  const picked = (): number => seeded.below(2 ** 30);
  return Array.from({ length: count }, () => {
    const name = seeded.weighted(WEIGHTS);
    const [short, long] = [SHORT_MS, LONG_MS].map((some) => some[seeded.below(some.length)] ?? 0);
    const waitMs = { wait: short, 'wait long': long }[name as 'wait'] ?? 0;
    return { do: name, pick: [picked(), picked(), picked()], waitMs };
  });
}
