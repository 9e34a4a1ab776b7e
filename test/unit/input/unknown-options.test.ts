import { expect, it } from 'vitest';
import { cryptoPolicy } from '../../../src/index.ts';

function messageFor(option: string): string {
  try {
    cryptoPolicy({ [option]: 1 });
  } catch (error) {
    if (error instanceof TypeError) return error.message;
  }
  throw new Error('threw no TypeError');
}

it.for([
  ['a short name', 'expireAfter'],
  ['a name of 64 letters', 'x'.repeat(64)],
] as const)('the error for an unknown option shows %s', ([, option]) => {
  expect(messageFor(option)).toContain(`has no option ${option}. Its options are expireAfterMs, `);
});

it.for([
  ['a name with a space', 'CANARY value'],
  ['a name of 66 letters', 'CANARY'.repeat(11)],
] as const)('the error for an unknown option does not show %s', ([, option]) => {
  expect(messageFor(option)).toContain('has no such option as one of those given. Its options are expireAfterMs, ');
  expect(messageFor(option)).not.toContain('CANARY');
});
