/** Returns the time in milliseconds since 1970. Callers pass the clock in, so that tests can set it. */
export type Clock = () => number;

/**
 * Returns a clock for measuring durations. For `Date.now`, this is the machine's monotonic clock, which does not change
 * when the machine's clock is set. Any other clock, such as a test's, is returned unchanged, because it advances
 * independently of the machine's clocks.
 */
export function steadyClock(now: Clock): Clock {
  return now === Date.now ? monotonicNow : now;
}

function monotonicNow(): number {
  return performance.now();
}

/**
 * Returns a function that returns the time `ms` milliseconds after this call. If the clock is set after this call, the
 * returned time changes by the same amount, so the remaining time stays the same.
 */
export function timeAhead(ms: number, now: Clock): Clock {
  const steady = steadyClock(now);
  const atMs = steady() + ms;
  return steady === now ? () => atMs : () => now() + atMs - steady();
}

/** A clock may step back by this much in total before Keyfold reacts, because time services make small corrections. */
const MAX_CORRECTION_MS = 1000;
/**
 * If the clock falls behind the monotonic clock by more than this between two readings, it was set back between them.
 */
const MAX_LAG_MS = 60_000;

/**
 * Makes a clock that measures ages. It never goes back, even if the given clock does.
 * @param stepMs how far the ages jump ahead if the given clock steps back. The true ages are then unknown.
 * @param monotonic a clock in milliseconds that never goes back. It shows whether the given clock stepped back between
 * two readings. The ages lag behind this monotonic clock by at most a second.
 * @returns a clock that shows 0 at this call, and then the milliseconds that have passed
 */
export function agingClock(now: Clock, stepMs: number, monotonic?: Clock): Clock {
  let lastMs = now();
  // The latest time that the clock has shown since it last stepped back.
  let highestMs = lastMs;
  let lastMonotonicMs = monotonic?.() ?? 0;
  // How many milliseconds the ages lag behind the monotonic clock.
  let behindMs = 0;
  let agedMs = 0;
  return () => {
    const nowMs = now();
    const passedMs = nowMs - lastMs;
    // Return early, because requests read this clock several times a millisecond.
    if (passedMs === 0) return agedMs;
    const monotonicMs = monotonic?.() ?? 0;
    const trulyPassedMs = monotonicMs - lastMonotonicMs;
    const lagMs = trulyPassedMs - passedMs;
    const steppedBack = nowMs < highestMs - MAX_CORRECTION_MS || lagMs > MAX_LAG_MS;
    const grownMs = Math.max(0, passedMs);
    behindMs = Math.max(0, behindMs + trulyPassedMs - grownMs);
    agedMs += grownMs;
    if (behindMs > MAX_CORRECTION_MS) {
      agedMs += behindMs;
      behindMs = 0;
    }
    if (steppedBack) agedMs += stepMs;
    highestMs = steppedBack ? nowMs : Math.max(highestMs, nowMs);
    lastMs = nowMs;
    lastMonotonicMs = monotonicMs;
    return agedMs;
  };
}
