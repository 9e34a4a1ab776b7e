import type { Deadline } from '../../src/index.ts';
import { failoverPolicy, type FailoverPolicy } from '../../src/kms/failover-policy.ts';
import { Failover, type Attempt, type FailoverDependencies, type KmsEvents } from '../../src/kms/failover.ts';
import { RegionFault, type FaultClass } from '../../src/kms/region-fault.ts';
import type { KmsRegion } from '../../src/kms/kms-region.ts';
import type { RegionState } from '../../src/kms/region-health.ts';
import { HandClock, noDeadline } from './fakes.ts';

/** How a region answers: well, with a fault, or as something done first says. */
export type Answer = 'ok' | FaultClass | (() => Promise<'ok' | FaultClass> | 'ok' | FaultClass);

/** Regions that answer as they are told, on a clock turned by hand, where sleeping takes no time but the clock's. */
export class ScriptedRegions implements FailoverDependencies {
  readonly clock = new HandClock();
  /** What is drawn, every time. */
  draw = 0.5;
  /** The answers of each region in turn; the last one stays. */
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
  #asked: string[] = [];

  /** Regions in the order of preference; with the default policy but for these changes. */
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

  /** Has something done by whichever region (of these) answers: that region's name, or what was wrong with each. */
  async request(deadline: Deadline = noDeadline(), names?: readonly string[]): Promise<string> {
    const ask = (region: KmsRegion): Promise<string> => this.#ask(region.region);
    const regions = this.#regions.filter(({ region }) => names?.includes(region) ?? true);
    const outcome = await this.#failover.firstAnswer(regions, { action: 'Decrypt', deadline, ask });
    if ('answer' in outcome) return outcome.answer;
    return outcome.faults.map((fault) => `${fault.region} ${fault.faultClass}`).join(', ');
  }

  /** Which regions have been asked since the last time. */
  takeAsked(): string {
    const asked = this.#asked.join(' ');
    this.#asked = [];
    return asked;
  }

  states(): RegionState[] {
    return this.#failover.states();
  }

  /** A deadline so long from now. */
  deadlineIn(ms: number): Deadline {
    return { ...noDeadline(), atMs: this.clock.now() + ms };
  }

  async #ask(region: string): Promise<string> {
    this.#asked.push(region);
    const [answer = 'ok', ...rest] = this.answers[region] ?? [];
    if (rest.length > 0) this.answers[region] = rest;
    const said = typeof answer === 'function' ? await answer() : answer;
    if (said === 'ok') return region;
    throw new RegionFault(region, 'Decrypt', said, 'Scripted');
  }
}
