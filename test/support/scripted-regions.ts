import type { Deadline } from '../../src/index.ts';
import { failoverPolicy, type FailoverPolicy } from '../../src/kms/failover-policy.ts';
import { Failover, type Attempt, type FailoverDependencies, type KmsEvents } from '../../src/kms/failover.ts';
import { RegionFault, type FaultClass } from '../../src/kms/region-fault.ts';
import type { KmsRegion } from '../../src/kms/kms-region.ts';
import type { RegionState } from '../../src/kms/region-health.ts';
import { HandClock, noDeadline } from './fakes.ts';

/** How a region responds: with success, with a fault, or as a function decides. */
export type Answer = 'ok' | FaultClass | (() => Promise<'ok' | FaultClass> | 'ok' | FaultClass);

/** Fake regions that respond as a script says. Their clock moves only when a test moves it, or when code sleeps. */
export class ScriptedRegions implements FailoverDependencies {
  readonly clock = new HandClock();
  /** The value of every random number. */
  draw = 0.5;
  /** The responses of each region in order. The last response repeats. */
  answers: Record<string, readonly Answer[]> = {};
  readonly slept: number[] = [];
  readonly attempts: Attempt[] = [];
  readonly coolDowns: string[] = [];
  readonly events: KmsEvents = {
    attempted: (attempt) => this.attempts.push(attempt),
    coolingDown: (region, ms) => this.coolDowns.push(`${region} ${ms}`),
    failedOver: () => {},
    wrapMissing: () => {},
  };
  readonly #regions: readonly KmsRegion[];
  readonly #failover: Failover<KmsRegion>;
  #requested: string[] = [];

  /**
   * @param names the regions, in order of preference
   * @param changes changes to the default policy
   */
  constructor(names: readonly string[], changes: Partial<FailoverPolicy> = {}) {
    this.#regions = names.map((region) => ({ region }) as KmsRegion);
    this.#failover = new Failover(this.#regions, failoverPolicy(changes, names.length), this, this.events);
  }

  readonly now = (): number => this.clock.now();
  readonly random = (): number => this.draw;
  readonly sleep = async (ms: number, signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    this.slept.push(ms);
    this.clock.advance(ms);
  };

  /**
   * Sends a request to the given regions, or by default to all. Returns the region that responded, or else the fault of
   * each region.
   */
  async request(deadline: Deadline = noDeadline(), names?: readonly string[]): Promise<string> {
    const send = (region: KmsRegion): Promise<string> => this.#send(region.region);
    const regions = this.#regions.filter(({ region }) => names?.includes(region) ?? true);
    const outcome = await this.#failover.firstAnswer(regions, { action: 'Decrypt', deadline, send });
    if ('answer' in outcome) return outcome.answer;
    return outcome.faults.map((fault) => `${fault.region} ${fault.faultClass}`).join(', ');
  }

  /** Returns the regions to which requests have gone since the last call, and clears the list. */
  takeRequested(): string {
    const requested = this.#requested.join(' ');
    this.#requested = [];
    return requested;
  }

  states(): RegionState[] {
    return this.#failover.states();
  }

  /** A deadline this many milliseconds from now. */
  deadlineIn(ms: number): Deadline {
    return { ...noDeadline(), atMs: this.clock.now() + ms };
  }

  async #send(region: string): Promise<string> {
    this.#requested.push(region);
    const [answer = 'ok', ...rest] = this.answers[region] ?? [];
    if (rest.length > 0) this.answers[region] = rest;
    const said = typeof answer === 'function' ? await answer() : answer;
    if (said === 'ok') return region;
    throw new RegionFault(region, 'Decrypt', said, 'Scripted');
  }
}
