import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { FreezeDetector } from '../../../src/connections/freeze-detector.ts';

/** What the clocks show: wall and monotonic time in milliseconds, CPU times in microseconds. */
const shown = { wallMs: 0, monotonicMs: 0, user: 0, system: 0 };
let detector: FreezeDetector;

beforeEach(() => {
  Object.assign(shown, { wallMs: 1_000_000, monotonicMs: 1000, user: 5_000_000, system: 3_000_000 });
  vi.spyOn(Date, 'now').mockImplementation(() => shown.wallMs);
  vi.spyOn(performance, 'now').mockImplementation(() => shown.monotonicMs);
  vi.spyOn(process, 'threadCpuUsage').mockImplementation(() => ({ user: shown.user, system: shown.system }));
  detector = new FreezeDetector();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** Lets time pass, during which the thread works for some of it. Returns whether the detector then sees a freeze. */
function after(passed: { wallMs: number; monotonicMs: number; userMs?: number; systemMs?: number }): boolean {
  shown.wallMs += passed.wallMs;
  shown.monotonicMs += passed.monotonicMs;
  shown.user += (passed.userMs ?? 0) * 1000;
  shown.system += (passed.systemMs ?? 0) * 1000;
  return detector.wasFrozen();
}

it('a process that was idle for 100 ms counts as frozen', () => {
  expect(after({ wallMs: 99, monotonicMs: 99 })).toBe(false);
  expect(after({ wallMs: 100, monotonicMs: 100 })).toBe(true);
  expect(after({ wallMs: 99, monotonicMs: 99 })).toBe(false);
});

it('a process counts as frozen after a suspension of the machine, during which the monotonic clock stood still', () => {
  expect(after({ wallMs: 60_000, monotonicMs: 0 })).toBe(true);
});

it('a process counts as frozen even if the wall clock was set back during the freeze', () => {
  expect(after({ wallMs: -60_000, monotonicMs: 100 })).toBe(true);
});

it.for(['userMs', 'systemMs'] as const)('CPU time of the thread (%s) does not count as idle time', (worked) => {
  expect(after({ wallMs: 1099, monotonicMs: 1099, [worked]: 1000 })).toBe(false);
  expect(after({ wallMs: 1100, monotonicMs: 1100, [worked]: 1000 })).toBe(true);
});

it('without threadCpuUsage (older Node versions), the CPU time of the whole process does not count as idle time', () => {
  vi.spyOn(process, 'cpuUsage').mockImplementation(() => ({ user: shown.user, system: shown.system }));
  Object.assign(process, { threadCpuUsage: undefined });
  detector = new FreezeDetector();
  expect(after({ wallMs: 1099, monotonicMs: 1099, userMs: 1000 })).toBe(false);
  expect(after({ wallMs: 1100, monotonicMs: 1100, systemMs: 1000 })).toBe(true);
});
