/** Measures the memory of commands that read 1,000,000 rows. `npm run test:long` prints it. */
import { expect, it } from 'vitest';
import { memoryOfKeysList, memoryOfReencrypt, memoryOfVerify } from '../support/live-memory.ts';

const NOISE_MIB = 8;

it.for([
  ['verify', memoryOfVerify],
  ['reencrypt', memoryOfReencrypt],
  ['keys list', memoryOfKeysList],
] as const)('keyfold %s uses no more memory for 1,000,000 rows than for 10,000', async ([name, memoryOf]) => {
  const few = await memoryOf(10_000);
  const many = await memoryOf(1_000_000);
  // oxlint-disable-next-line no-console -- the output of `npm run test:long` is kept
  console.log(name, `${few.toFixed(1)} MiB for 10,000 rows, ${many.toFixed(1)} MiB for 1,000,000 rows`);
  expect(many).toBeLessThan(few + NOISE_MIB);
});
