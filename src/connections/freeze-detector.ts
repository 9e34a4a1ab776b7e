/** The interval at which a timer calls {@link FreezeDetector.wasFrozen} while a process has connections. */
export const TICK_MS = 25;
/** The process was frozen if it used no CPU time for this long. */
const FREEZE_MS = 100;
/** A freeze of at least this length can make a call fail, because the timeouts of the call continue meanwhile. */
const LONG_FREEZE_MS = 1000;

/** Notices that the process was frozen, as Lambda does between invocations. */
export class FreezeDetector {
  readonly #freezeMs: number;
  #lastSeen = seenNow();

  constructor(freezeMs = FREEZE_MS) {
    this.#freezeMs = freezeMs;
  }

  /**
   * Whether the process was frozen since the last call. Call it every {@link TICK_MS}, because a longer pause looks
   * like a freeze.
   */
  wasFrozen(): boolean {
    const before = this.#lastSeen;
    this.#lastSeen = seenNow();
    return idleMsBetween(before, this.#lastSeen) >= this.#freezeMs;
  }
}

/**
 * Starts to watch whether the process is frozen while a call is in progress. The returned function ends the watch, and
 * returns whether a freeze lasted a second or more.
 */
export function watchForFreezes(): () => boolean {
  const detector = new FreezeDetector(LONG_FREEZE_MS);
  let isFrozen = false;
  const check = (): boolean => (isFrozen ||= detector.wasFrozen());
  const timer = setInterval(check, TICK_MS).unref();
  return () => {
    clearInterval(timer);
    return check();
  };
}

/** What the clocks showed at a moment when the process was running. */
interface Seen {
  /** This clock advances while the process is stopped, but not while the machine is suspended. */
  readonly monotonicMs: number;
  /** This clock advances while the machine is suspended, but an operator or NTP may set it back. */
  readonly wallMs: number;
  /** The CPU time of this thread. In older versions of Node, the CPU time of the whole process. */
  readonly workedMs: number;
}

function seenNow(): Seen {
  // Older versions of Node measure only the CPU time of the whole process.
  const { user, system } = process.threadCpuUsage?.() ?? process.cpuUsage();
  return { monotonicMs: performance.now(), wallMs: Date.now(), workedMs: (user + system) / 1000 };
}

function idleMsBetween(before: Seen, after: Seen): number {
  const passedMs = Math.max(after.monotonicMs - before.monotonicMs, after.wallMs - before.wallMs);
  return passedMs - (after.workedMs - before.workedMs);
}
