/** Measures the memory of commands that read many rows. `npm run test:long` does the same with 1,000,000 rows. */
import { expect, it } from 'vitest';
import { memoryOfKeysList, memoryOfReencrypt, memoryOfVerify } from '../support/live-memory.ts';

/**
 * How much more memory the large run may use. If a command kept its rows in memory, the 90,000 additional rows would
 * need more than this.
 */
const NOISE_MIB = 8;

it.for([
  ['verify', memoryOfVerify],
  ['reencrypt', memoryOfReencrypt],
  ['keys list', memoryOfKeysList],
] as const)('keyfold %s uses no more memory for 100,000 rows than for 10,000', async ([, memoryOf]) => {
  const few = await memoryOf(10_000);
  expect(await memoryOf(100_000)).toBeLessThan(few + NOISE_MIB);
});
