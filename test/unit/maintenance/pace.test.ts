import { beforeEach, expect, it, vi } from 'vitest';
import { Pace } from '../../../src/maintenance/reencryption/pace.ts';
import { HandClock } from '../../../src/testing/hand-clock.ts';

const { sleep } = vi.hoisted(() => ({
  sleep: vi.fn<(ms: number, ...more: unknown[]) => Promise<void>>(async () => {}),
}));
vi.mock('node:timers/promises', () => ({ setTimeout: sleep }));

beforeEach(() => {
  sleep.mockClear();
});

/** The waits so far, in milliseconds. */
function waits(): unknown[] {
  return sleep.mock.calls.map(([ms]) => ms);
}

it('Pace delays each call of spend until the rate limit covers the earlier calls', async () => {
  const clock = new HandClock();
  const pace = new Pace(10, clock.now);
  for (const amount of [5, 1, 1]) await pace.spend(amount);
  expect(waits()).toEqual([500, 600]);
  clock.advance(700);
  await pace.spend(1);
  expect(waits()).toHaveLength(2);
});

it('Pace waits no longer than usual after its clock has stepped back', async () => {
  const clock = new HandClock();
  const pace = new Pace(10, clock.now);
  await pace.spend(5);
  clock.advance(-3_600_000);
  await pace.spend(1);
  expect(waits()).toEqual([]);
  await pace.spend(1);
  expect(waits()).toEqual([100]);
});

it('Pace waits in several steps if the wait is longer than a timer supports', async () => {
  const pace = new Pace(4e-7, new HandClock().now);
  await pace.spend(1);
  await pace.spend(1);
  expect(waits()).toEqual([2_147_483_647, 352_516_353]);
});

it('Pace stops waiting when its signal aborts, and no longer waits afterwards', async () => {
  const pace = new Pace(4e-7, new HandClock().now);
  const ending = new AbortController();
  sleep.mockImplementation(async (_ms, _value, options) => {
    ending.abort();
    (options as { signal: AbortSignal }).signal.throwIfAborted();
  });
  for (let i = 0; i < 3; i += 1) await pace.spend(1, ending.signal);
  expect(waits()).toEqual([2_147_483_647]);
});
