import { Throttle, type Fault } from './faults.ts';

/** One call that reached the emulator. */
export interface KmsCall {
  readonly region: string;
  readonly action: string;
  /** The `KeyId` that the call named, as it wrote it; undefined where it named none. */
  readonly keyId: string | undefined;
  /** `ok`, the error's name, or the fault that kept it from an answer. */
  readonly outcome: string;
}

const MAX_CALLS = 100_000;

/** The faults of each region, and what was called in it. */
export class Regions {
  readonly #faults = new Map<string, { fault: Fault; throttle: Throttle | undefined }>();
  readonly #onCall: ((call: KmsCall) => void) | undefined;
  #calls: KmsCall[] = [];

  /** @param onCall is told of each call as it is noted */
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

  /** What a region suffers from; undefined where it is well. */
  faultOf(region: string): Fault | undefined {
    return this.#faults.get(region)?.fault;
  }

  /** What befalls one call: the fault, unless it spares this action or lets this call through. */
  draw(region: string, action: string): Fault | undefined {
    const set = this.#faults.get(region);
    if (set === undefined || set.fault.actions?.includes(action) === false) return undefined;
    if (set.throttle?.admits() === true) return undefined;
    return set.fault.kind === 'error' && Math.random() >= set.fault.rate ? undefined : set.fault;
  }

  /** The calls since the start or the last reset, oldest first; the oldest are forgotten above 100,000. */
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

  /** Every region that was called or has a fault. */
  known(): string[] {
    return [...new Set([...this.#faults.keys(), ...this.#calls.map((call) => call.region)])].toSorted();
  }

  /** How often each action was called in a region. */
  countsOf(region: string): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const call of this.#calls) {
      if (call.region === region) counts[call.action] = (counts[call.action] ?? 0) + 1;
    }
    return counts;
  }
}
