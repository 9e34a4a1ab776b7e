import { InvalidArgumentError } from 'commander';
import { expect, it } from 'vitest';
import { parseDuration } from '../../../src/cli/options.ts';

it.for([
  ['2d', 172_800_000],
  ['2h', 7_200_000],
  ['2m', 120_000],
  ['2s', 2000],
  ['999999s', 999_999_000],
] as const)('the duration %s has %i milliseconds', ([text, ms]) => {
  expect(parseDuration(text)).toBe(ms);
});

it.for(['', '2', 'd', '2x', '2D', '2dd', 'a2d', '-2d', '0.5d', ' 2d', '2d\n', '1000000s'])(
  'the duration "%s" is refused',
  (text) => {
    const message = 'It must be a number with d, h, m or s, such as 90d.';
    expect(() => parseDuration(text)).toThrow(new InvalidArgumentError(message));
  },
);
