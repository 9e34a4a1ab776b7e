import { withDeadline, type RequestLimits } from './deadline.ts';
import type { Clock } from './clock.ts';
import type { Deadline } from './deadline.ts';

/**
 * What requests wait for. A thousand items of one request, which all have its limits, wait together: each by itself would have a
 * deadline of its own to keep, which takes kilobytes.
 */
export class Waits<T> {
  readonly #now: Clock;
  readonly #underWay = new WeakMap<RequestLimits, Map<string, Promise<T>>>();

  constructor(now: Clock) {
    this.#now = now;
  }

  /** Does work within a request's limits, once for all that ask for it by this name with these very limits meanwhile. */
  join(limits: RequestLimits, name: string, work: (deadline: Deadline) => Promise<T>): Promise<T> {
    const ofRequest = this.#underWay.get(limits) ?? new Map<string, Promise<T>>();
    this.#underWay.set(limits, ofRequest);
    const joined = ofRequest.get(name);
    if (joined !== undefined) return joined;
    const begun = withDeadline(limits, this.#now, work).finally(() => ofRequest.delete(name));
    ofRequest.set(name, begun);
    return begun;
  }
}
