import type { Clock } from './ports.ts';

/** A smaller step back is a correction that every clock gets now and then. */
const MAX_CORRECTION_MS = 1000;
/** A step back that happened between two readings shows once the clock is this far behind the monotonic one. */
const MAX_LAG_MS = 60_000;

/**
 * A clock for ages. It never goes back, so nothing grows younger if the given clock does.
 * @param stepMs how much older everything becomes at once if the clock steps back, since its true age is then not known
 * @param monotonic counts milliseconds since any time, and never goes back; shows a step back that no reading has seen
 * @returns milliseconds since the first reading
 */
export function agingClock(now: Clock, stepMs: number, monotonic?: Clock): Clock {
  let lastMs = now();
  let lastMonotonicMs = monotonic?.() ?? 0;
  let agedMs = 0;
  return () => {
    const passedMs = now() - lastMs;
    // Requests read this clock several times a millisecond.
    if (passedMs === 0) return agedMs;
    const monotonicMs = monotonic?.() ?? 0;
    const lagMs = monotonicMs - lastMonotonicMs - passedMs;
    const steppedBack = passedMs < -MAX_CORRECTION_MS || (monotonic !== undefined && lagMs > MAX_LAG_MS);
    agedMs += Math.max(0, passedMs) + (steppedBack ? stepMs : 0);
    lastMs += passedMs;
    lastMonotonicMs = monotonicMs;
    return agedMs;
  };
}
