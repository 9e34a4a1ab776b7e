import type { Measures } from './measure.ts';
import { POLICIES, type PolicyName } from './policies.ts';

/** A measure, and whether a higher or a lower value is better. */
export interface Criterion {
  readonly measure: keyof Measures;
  readonly title: string;
  readonly better: 'higher' | 'lower';
  /** Values count as equal if they differ by at most this amount, in the unit of the measure. */
  readonly grain: number;
  readonly text: (value: number) => string;
  /** True if the measure is shown but not compared, because another measure covers the same effect. */
  readonly shownOnly?: boolean;
}

/** A value this close to the best one counts as equal. This allows for chance and for the simplicity of the model. */
const TOLERANCE = 0.02;

export const CRITERIA: readonly Criterion[] = [
  { measure: 'answered', title: 'answered', better: 'higher', grain: 0, text: (v) => `${(v * 100).toFixed(1)} %` },
  { measure: 'p50Ms', title: 'p50', better: 'lower', grain: 5, text: duration },
  { measure: 'p99Ms', title: 'p99', better: 'lower', grain: 5, text: duration },
  { measure: 'calls', title: 'KMS calls', better: 'lower', grain: 0, text: whole },
  { measure: 'overload', title: 'beyond the second quota', better: 'lower', grain: 0, text: whole },
  { measure: 'spill', title: 'in the second region', better: 'lower', grain: 0, text: whole, shownOnly: true },
  {
    measure: 'spillPeak',
    title: 'worst second there',
    better: 'lower',
    grain: 0,
    text: (v) => `${v.toFixed(1)} × quota`,
    shownOnly: true,
  },
  { measure: 'recoveryMs', title: 'time to recover', better: 'lower', grain: 1000, text: duration },
];

/** Whether Keyfold is as good as the best policy by one measure. */
export function isBest(criterion: Criterion, all: Readonly<Record<PolicyName, Measures>>): boolean {
  const { measure, better, grain } = criterion;
  const own = all.keyfold[measure];
  const others = POLICIES.map((name) => all[name][measure]);
  if (better === 'higher') return own >= Math.max(...others) * (1 - TOLERANCE) - grain;
  return own <= Math.min(...others) * (1 + TOLERANCE) + grain;
}

function duration(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}
