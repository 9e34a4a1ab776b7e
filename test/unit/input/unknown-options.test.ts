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

it.for(['expireAfter', 'x'.repeat(64)])('the error for the unknown option %s names that option', (option) => {
  expect(messageFor(option)).toContain(`has no option ${option}. Its options are expireAfterMs, `);
});

it.for(['CANARY value', 'CANARY'.repeat(11)])(
  'the error for the unknown option %s does not quote that option',
  (option) => {
    expect(messageFor(option)).toContain('has no such option as one of those given. Its options are expireAfterMs, ');
    expect(messageFor(option)).not.toContain('CANARY');
  },
);
