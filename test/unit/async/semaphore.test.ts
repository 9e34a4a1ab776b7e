import { expect, it } from 'vitest';
import { Semaphore } from '../../../src/async/semaphore.ts';
import { errorOf } from '../../support/fakes.ts';

/**
 * Starts tasks. A test ends a task by calling the task's function in `ends`. `started` contains the numbers of the
 * tasks that have started.
 */
function start(
  semaphore: Semaphore,
  count: number,
): { started: number[]; ends: (() => void)[]; all: Promise<number[]> } {
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const runs = Array.from({ length: count }, (_, i) =>
    semaphore.run(async () => {
      started.push(i);
      await new Promise<void>((resolve) => void (ends[i] = resolve));
      return i;
    }),
  );
  return { started, ends, all: Promise.all(runs) };
}

it('Semaphore runs as many tasks at once as it has permits, and starts the others in order of arrival', async () => {
  const { started, ends, all } = start(new Semaphore(2), 4);
  expect(started).toEqual([0, 1]);
  ends[1]?.();
  await new Promise(setImmediate);
  expect(started).toEqual([0, 1, 2]);
  ends[0]?.();
  ends[2]?.();
  await new Promise(setImmediate);
  ends[3]?.();
  expect(await all).toEqual([0, 1, 2, 3]);
});

it("Semaphore releases a task's permit when the task ends, even if the task fails", async () => {
  const semaphore = new Semaphore(2);
  const failure = new Error('failed');
  for (let i = 0; i < 3; i += 1) expect(await errorOf(semaphore.run(() => Promise.reject(failure)))).toBe(failure);
  const { started, ends, all } = start(semaphore, 3);
  expect(started).toEqual([0, 1]);
  ends[0]?.();
  ends[1]?.();
  await new Promise(setImmediate);
  ends[2]?.();
  await all;
});
