/** Milliseconds since 1970. Passed in, so that a test turns it by hand. */
export type Clock = () => number;

/** Clocks get smaller corrections now and then. Several of them add up. */
const MAX_CORRECTION_MS = 1000;
/** A step back that happened between two readings shows once the clock is this far behind the monotonic one. */
const MAX_LAG_MS = 60_000;

/**
 * A clock for ages. It never goes back, so nothing grows younger if the given clock does.
 * @param stepMs how much older everything becomes at once if the clock steps back, since its true age is then not known
 * @param monotonic counts milliseconds since any time, and never goes back; shows a step back that no reading has seen.
 * Ages are at most a second behind it.
 * @returns milliseconds since the first reading
 */
export function agingClock(now: Clock, stepMs: number, monotonic?: Clock): Clock {
  let lastMs = now();
  // The latest time that was read since the last step back.
  let highestMs = lastMs;
  let lastMonotonicMs = monotonic?.() ?? 0;
  // How far the ages are behind the monotonic clock.
  let behindMs = 0;
  let agedMs = 0;
  return () => {
    const nowMs = now();
    const passedMs = nowMs - lastMs;
    // Requests read this clock several times a millisecond.
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
