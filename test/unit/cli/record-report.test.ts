import { expect, it } from 'vitest';
import { formatKeys } from '../../../src/cli/record-report.ts';

/** Keys with 1 to `count` records. */
const keysOf = (count: number): { id: string; created: number; records: number }[] =>
  Array.from({ length: count }, (_, i) => ({ id: `_IK_${100 + i}`, created: 60, records: i + 1 }));

it('formatKeys lists the 50 keys with the most records, and says how many keys are left out', () => {
  const [header, first, ...others] = formatKeys(keysOf(52));
  expect([header, first]).toEqual(['KEY      CREATED  RECORDS', '_IK_151  60       52']);
  expect(others).toHaveLength(50);
  expect(others.slice(-2)).toEqual(['_IK_102  60       3', 'and 2 keys more']);
  expect(formatKeys(keysOf(50)).at(-1)).toBe('_IK_100  60       1');
});

it('formatKeys lists keys with as many records in the order of their dates, newest first, and then of their IDs', () => {
  const keys = [
    { id: '_IK_b', created: 60, records: 1 },
    { id: '_IK_a', created: 120, records: 1 },
    { id: '_IK_a', created: 60, records: 1 },
  ];
  const lines = ['_IK_a  120      1', '_IK_a  60       1', '_IK_b  60       1'];
  for (const given of [keys, keys.toReversed()]) expect(formatKeys(given).slice(1)).toEqual(lines);
});
