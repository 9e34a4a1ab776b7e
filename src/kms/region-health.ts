import type { FailoverPolicy } from './failover-policy.ts';
import type { FaultClass, RegionFault } from './region-fault.ts';

/** The last known state of a region in this process. */
export interface RegionState {
  readonly region: string;
  /** How the last call ended. `unknown` until the first call has ended. */
  readonly state: 'ok' | 'unknown' | FaultClass;
  /** When the last call ended, in milliseconds since 1970. Absent until the first call ends. */
  readonly atMs?: number;
  /** The last failure, even if later calls succeeded. Absent if no call has failed. */
  readonly lastFault?: { readonly faultClass: FaultClass; readonly errorName: string; readonly atMs: number };
  /**
   * The time until which Keyfold tries the region last, in milliseconds since 1970. Absent if the region is not in a
   * cool-down.
   */
  readonly avoidedUntilMs?: number;
}

/** A time span, in milliseconds since 1970. */
interface Span {
  readonly fromMs: number;
  readonly untilMs: number;
}

const NO_TIME: Span = { fromMs: 0, untilMs: 0 };

/**
 * Returns the end of a span, or 0 if the span is over. A span that begins in the future counts as over, because the
 * clock must have stepped back since it began.
 */
function endOf({ fromMs, untilMs }: Span, nowMs: number): number {
  return fromMs <= nowMs && nowMs < untilMs ? untilMs : 0;
}

/** Remembers how calls to one region ended, and decides whether to try the region last. */
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

  /** Returns the region's state for an operator. */
  stateAt(nowMs: number): RegionState {
    const avoidedUntilMs = this.avoidedUntilMs(nowMs);
    return avoidedUntilMs > 0 ? { ...this.#state, avoidedUntilMs } : this.#state;
  }

  /**
   * Returns the time until which Keyfold tries the region last, in milliseconds since 1970, or 0 if Keyfold does not
   * try it last.
   */
  avoidedUntilMs(nowMs: number): number {
    return Math.max(endOf(this.#cooling, nowMs), endOf(this.#probed, nowMs));
  }

  /**
   * Records the start of an attempt. If the region's last attempt failed, this attempt tests whether the region works
   * again. Meanwhile, other requests still try the region last.
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
   * Records a failure.
   * @param draw a random number of at least 0 and less than 1, for the jitter of the cool-down
   * @returns the length of the new cool-down in milliseconds. Undefined if the region is already in a cool-down, or if
   * the fault does not start one.
   */
  failed(fault: RegionFault, nowMs: number, draw: number): number | undefined {
    const { faultClass, errorName } = fault;
    const lastFault = { faultClass, errorName, atMs: nowMs };
    // If bytes cannot be decrypted, the key row is at fault. The region itself is healthy.
    const state = faultClass === 'corrupt' ? 'ok' : faultClass;
    this.#state = { region: this.#region, state, atMs: nowMs, lastFault };
    // If this attempt tested the region (see `begin`), the test has ended. Other requests now avoid the region only
    // during the cool-down. The length of the cool-down is random, so that the processes of a fleet do not return to
    // the region at the same time.
    this.#probed = NO_TIME;
    if (faultClass !== 'unavailable') {
      // The region has responded, so a cool-down would not help.
      this.#failures = 0;
      this.#cooling = NO_TIME;
      return undefined;
    }
    // Concurrent calls that fail count as one failure.
    if (endOf(this.#cooling, nowMs) > 0) return undefined;
    const { firstCoolDownMs, longestCoolDownMs } = this.#policy;
    const fullMs = Math.min(longestCoolDownMs, firstCoolDownMs * 2 ** this.#failures);
    const coolDownMs = Math.ceil(fullMs * (0.5 + draw / 2));
    this.#failures += 1;
    this.#cooling = { fromMs: nowMs, untilMs: nowMs + coolDownMs };
    return coolDownMs;
  }
}

/** Whether this fault means that the region throttles. */
export function isThrottled(fault: RegionFault | undefined): boolean {
  return fault?.faultClass === 'throttled';
}

/** Whether a region with this fault might succeed later. */
export function isTransient(fault: RegionFault | undefined): boolean {
  return isThrottled(fault) || fault?.faultClass === 'unavailable';
}
