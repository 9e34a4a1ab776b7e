import type { FailoverPolicy } from './failover-policy.ts';
import type { FaultClass, RegionFault } from './faults.ts';

/** A region as this process last saw it. */
export interface RegionState {
  readonly region: string;
  /** How the last call ended; `unknown` before the first has. */
  readonly state: 'ok' | 'unknown' | FaultClass;
  /** When that was, in milliseconds since 1970; absent before. */
  readonly atMs?: number;
  /** The last failure, even if calls have succeeded since; absent where there was none. */
  readonly lastFault?: { readonly faultClass: FaultClass; readonly errorName: string; readonly atMs: number };
  /** Until when the region is asked last, in milliseconds since 1970; absent where it is not. */
  readonly avoidedUntilMs?: number;
}

/** A time span, in milliseconds since 1970. */
interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

const NO_TIME: Span = { fromMs: 0, untilMs: 0 };

/** When a span ends; 0 if it is over. One that begins in the future is over: the clock has stepped back since. */
function endOf({ fromMs, untilMs }: Span, nowMs: number): number {
  return fromMs <= nowMs && nowMs < untilMs ? untilMs : 0;
}

/** What a process remembers of one region, and whether it asks it last for now. */
export class RegionHealth {
  readonly #region: string;
  readonly #policy: FailoverPolicy;
  #state: RegionState;
  #failures = 0;
  #cooling: Span = NO_TIME;
  #probed: Span = NO_TIME;

  constructor(region: string, policy: FailoverPolicy) {
    this.#region = region;
    this.#policy = policy;
    this.#state = { region, state: 'unknown' };
  }

  /** For an operator to read. */
  stateAt(nowMs: number): RegionState {
    const avoidedUntilMs = this.avoidedUntilMs(nowMs);
    return avoidedUntilMs > 0 ? { ...this.#state, avoidedUntilMs } : this.#state;
  }

  /** Until when the region is to be asked last; 0 where it is not. */
  avoidedUntilMs(nowMs: number): number {
    return Math.max(endOf(this.#cooling, nowMs), endOf(this.#probed, nowMs));
  }

  /**
   * An attempt begins. One that finds out whether the region is back does so alone: meanwhile others go on sparing it.
   */
  begin(nowMs: number): void {
    if (this.#failures > 0) this.#probed = { fromMs: nowMs, untilMs: nowMs + this.#policy.firstCoolDownMs };
  }

  succeeded(nowMs: number): void {
    const { lastFault } = this.#state;
    this.#failures = 0;
    this.#cooling = NO_TIME;
    this.#probed = NO_TIME;
    this.#state = { region: this.#region, state: 'ok', atMs: nowMs, ...(lastFault && { lastFault }) };
  }

  /**
   * Takes note of a failure.
   * @param draw from 0 up to 1, for the jitter of the cool-down
   * @returns how long the region is spared from now on; undefined where it already was, or where waiting mends nothing
   */
  failed(fault: RegionFault, nowMs: number, draw: number): number | undefined {
    const { faultClass, errorName } = fault;
    const lastFault = { faultClass, errorName, atMs: nowMs };
    // Bytes that do not open are a fault of a key row. The region itself has answered.
    const state = faultClass === 'corrupt' ? 'ok' : faultClass;
    this.#state = { region: this.#region, state, atMs: nowMs, lastFault };
    // Found out. From here the cool-down alone counts, which is drawn: a fleet must not come back at once.
    this.#probed = NO_TIME;
    if (fault.faultClass !== 'unavailable') {
      // It has answered: sparing it mends nothing.
      this.#failures = 0;
      this.#cooling = NO_TIME;
      return undefined;
    }
    // Calls that fail side by side are one failure, not many.
    if (endOf(this.#cooling, nowMs) > 0) return undefined;
    const { firstCoolDownMs, longestCoolDownMs } = this.#policy;
    const fullMs = Math.min(longestCoolDownMs, firstCoolDownMs * 2 ** this.#failures);
    const coolDownMs = Math.ceil(fullMs * (0.5 + draw / 2));
    this.#failures += 1;
    this.#cooling = { fromMs: nowMs, untilMs: nowMs + coolDownMs };
    return coolDownMs;
  }
}

/** Whether a region with that fault may answer later. */
export function isTransient(fault: RegionFault | undefined): boolean {
  return fault?.faultClass === 'throttled' || fault?.faultClass === 'unavailable';
}
