import { Throttle, type Fault } from './faults.ts';

/** A KMS call that reached the emulator. */
export interface KmsCall {
  readonly region: string;
  readonly action: string;
  /** The `KeyId` or `TargetKeyId` of the request. Undefined if the request has neither. */
  readonly keyId: string | undefined;
  /** `ok`, the name of an error, or the kind of fault that prevented a response. */
  readonly outcome: string;
}

const MAX_CALLS = 100_000;

/** Keeps the fault and the calls of each region. */
export class Regions {
  readonly #faults = new Map<string, { fault: Fault; throttle: Throttle | undefined }>();
  readonly #onCall: ((call: KmsCall) => void) | undefined;
  #calls: KmsCall[] = [];

  /** @param onCall called with each KMS call that `note` records */
  constructor(onCall?: (call: KmsCall) => void) {
    this.#onCall = onCall;
  }

  setFault(region: string, fault: Fault): void {
    const throttle = fault.kind === 'throttle' ? new Throttle(fault.perSecond) : undefined;
    this.#faults.set(region, { fault, throttle });
  }

  clearFault(region: string): void {
    this.#faults.delete(region);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  /** The fault of a region. Undefined if the region has none. */
  faultOf(region: string): Fault | undefined {
    return this.#faults.get(region)?.fault;
  }

  /**
   * The fault that applies to one call. Undefined if the fault does not apply to this action, or if the throttle admits
   * the call. Also undefined if an `error` fault with a rate below 1 does not affect this call.
   */
  faultForCall(region: string, action: string): Fault | undefined {
    const set = this.#faults.get(region);
    if (set === undefined || set.fault.actions?.includes(action) === false) return undefined;
    if (set.throttle?.admits() === true) return undefined;
    return set.fault.kind === 'error' && Math.random() >= set.fault.rate ? undefined : set.fault;
  }

  /** The calls since the start or the last reset, oldest first. Beyond 100,000 calls, the older half is dropped. */
  calls(): readonly KmsCall[] {
    return this.#calls;
  }

  resetCalls(): void {
    this.#calls = [];
  }

  note(call: KmsCall): void {
    this.#onCall?.(call);
    this.#calls.push(call);
    if (this.#calls.length > MAX_CALLS) this.#calls.splice(0, MAX_CALLS / 2);
  }

  /** The regions that have a fault or were called, sorted by name. */
  known(): string[] {
    return [...new Set([...this.#faults.keys(), ...this.#calls.map((call) => call.region)])].toSorted();
  }

  /** The number of calls of each action in a region. */
  countsOf(region: string): Record<string, number> {
    const counts = new Map<string, number>();
    for (const call of this.#calls) {
      if (call.region === region) counts.set(call.action, (counts.get(call.action) ?? 0) + 1);
    }
    return Object.fromEntries(counts);
  }
}
