import { expect, it } from 'vitest';
import { parseDuration } from '../../../src/cli/options.ts';

it.for([
  ['2d', 172_800_000],
  ['2h', 7_200_000],
  ['2m', 120_000],
  ['2s', 2000],
] as const)('the duration %s has %i milliseconds', ([text, ms]) => {
  expect(parseDuration(text)).toBe(ms);
});
