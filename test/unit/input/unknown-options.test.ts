import { expect, it } from 'vitest';
import { cryptoPolicy } from '../../../src/index.ts';

it.for(['expireAfter', 'x'.repeat(64)])('an unknown option %s is named in the error', (option) => {
  expect(() => cryptoPolicy({ [option]: 1 })).toThrow(new RegExp(` has no option ${option}\\. Its options are \\w+, `));
});

it.for(['CANARY value', 'CANARY'.repeat(11)])(
  'an unknown option %j, which may be data, is not quoted in the error',
  (option) => {
    expect(() => cryptoPolicy({ [option]: 1 })).toThrow(
      / has no such option as one of those given\. Its options are [^C]*$/,
    );
  },
);
