import { createSecretKey } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { seal } from '../crypto/aead.ts';
import { BYTES, check, having, OBJECT, optional, optionsOf, recordOf, STRING, type Types } from '../input/checks.ts';
import { numberFaults, withDefaults } from '../input/defaults.ts';
import { checkDeadline, deadlineExceeded, halfOf, withDeadline } from '../async/deadline.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';
import type { KeyManagementService, Unwrapped } from '../envelope/ports.ts';
import type { Deadline } from '../async/deadline.ts';
import type { WrapRenewer, WrapReport } from '../maintenance/system-key-maintenance.ts';
import { failoverPolicy, type FailoverPolicy } from './failover-policy.ts';
import { Failover, NO_EVENTS, type FailoverDependencies, type FirstAnswer, type KmsEvents } from './failover.ts';
import { everyRegionFailed, RegionFault, regionsFailed } from './faults.ts';
import { decodeKekEnvelope, encodeKekEnvelope, type RegionalKek } from './kek-envelope.ts';
import { keyFaults, parseKmsArn } from './key-arn.ts';
import type { KmsRegion, Wrap } from './kms-region.ts';
import type { RegionState } from './region-health.ts';
import { kekOf, openIn } from './regional-wraps.ts';
import { RegionalKms, type KmsTimeouts, type RegionalKmsOptions } from './regional-kms.ts';
import { renewWraps } from './wrap-renewal.ts';

/** What {@link AwsKms} is made of. */
export interface AwsKmsOptions {
  /** For each region, the key ARN or alias ARN of its KMS key. */
  readonly keys: Readonly<Record<string, string>>;
  /** The region that is asked first: the one this process runs in, as a rule. */
  readonly preferredRegion: string;
  readonly timeouts?: Partial<KmsTimeouts>;
  /** What differs from the default policy of trying regions. */
  readonly failover?: Partial<FailoverPolicy>;
  /** Replaces AWS's endpoint in every region, for an emulator. */
  readonly endpoint?: string;
  readonly events?: KmsEvents;
}

/** What AwsKms needs of the world besides. */
export interface KmsDependencies extends FailoverDependencies {
  /** KMS in one region. */
  readonly connect: (options: RegionalKmsOptions) => KmsRegion;
}

const DEFAULT_TIMEOUTS: KmsTimeouts = { connectionTimeoutMs: 1000, requestTimeoutMs: 2000 };

const OPTIONS: Types<AwsKmsOptions> = {
  keys: OBJECT,
  preferredRegion: STRING,
  timeouts: optional(OBJECT),
  failover: optional(OBJECT),
  endpoint: optional(STRING),
  events: optional(having('attempted', 'coolingDown', 'failedOver', 'wrapMissing')),
};
const WORLD = having('now', 'random', 'sleep', 'connect');

const REAL_WORLD: KmsDependencies = {
  now: Date.now,
  random: Math.random,
  sleep: (ms, signal) =>
    sleep(ms, undefined, { signal }).catch((error: unknown) => {
      signal.throwIfAborted();
      throw error;
    }),
  connect: (options) => new RegionalKms(options),
};

/**
 * AWS KMS over several regions. A System Key is sealed by a data key that a KMS key of each region wraps, so that any
 * one region opens it. The keys need not know of each other.
 */
export class AwsKms implements KeyManagementService, WrapRenewer {
  /** In the order of preference. */
  readonly #regions: readonly KmsRegion[];
  readonly #failover: Failover;
  readonly #policy: FailoverPolicy;
  readonly #events: KmsEvents;
  readonly #world: KmsDependencies;

  /**
   * `world` is the real one, but for a simulation.
   * @throws TypeError naming an option of a wrong type, and one that there is not
   * @throws KeyfoldError `InvalidConfiguration`, listing each region, ARN and number at fault
   */
  constructor(options: AwsKmsOptions, world: KmsDependencies = REAL_WORLD) {
    const given = optionsOf(options, 'options', OPTIONS);
    check(world, 'world', WORLD);
    const { preferredRegion, failover = {}, endpoint, events = NO_EVENTS } = given;
    const keys = recordOf<string>(given.keys, 'options.keys', STRING);
    const faults = keyFaults(keys, preferredRegion);
    const timeouts = withDefaults(DEFAULT_TIMEOUTS, given.timeouts ?? {}, 'timeouts');
    faults.push(...numberFaults(timeouts, DEFAULT_TIMEOUTS));
    if (faults.length > 0) throw invalidConfiguration(faults);
    const accounts = new Set(Object.values(keys).map((arn) => parseKmsArn(arn)?.account ?? ''));
    this.#regions = Object.entries(keys)
      .toSorted(([a], [b]) => Number(b === preferredRegion) - Number(a === preferredRegion))
      .map(([region, arn]) => world.connect({ region, keyArn: arn, accounts, timeouts, endpoint }));
    this.#policy = failoverPolicy(failover, this.#regions.length);
    this.#events = events;
    this.#world = world;
    this.#failover = new Failover(this.#regions, this.#policy, world, this.#events);
  }

  /** Each region as last seen, the preferred first; makes no call. */
  regionStates(): RegionState[] {
    return this.#failover.states();
  }

  async wrap(key: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    check(key, 'key', BYTES);
    checkDeadline(deadline);
    const generated = await this.#failover.firstAnswer(this.#regions, {
      action: 'GenerateDataKey',
      deadline,
      ask: (region) => region.generateDataKey(deadline),
    });
    if ('faults' in generated) throw everyRegionFailed(generated.faults);
    const { region, answer } = generated;
    this.#noteFailover(region);
    try {
      const encryptedKey = seal(createSecretKey(answer.plaintext), key);
      const others = await this.#wrapInOthers(region, answer.plaintext, deadline);
      return encodeKekEnvelope({ encryptedKey, kmsKeks: [kekOf(region, answer), ...others] });
    } finally {
      answer.plaintext.fill(0);
    }
  }

  async unwrap(wrapped: Uint8Array, deadline: Deadline): Promise<Unwrapped> {
    check(wrapped, 'wrapped', BYTES);
    checkDeadline(deadline);
    const envelope = decodeKekEnvelope(wrapped);
    if (envelope === undefined) return { unreadable: 'it is not wrapped by KMS' };
    const regions = this.#regions.filter(({ region }) => envelope.kmsKeks.some((kek) => kek.region === region));
    if (regions.length === 0) return { unreadable: 'no configured region has wrapped it' };
    const opened = await this.#failover.firstAnswer(regions, {
      action: 'Decrypt',
      deadline,
      ask: (region) => openIn(region, envelope, deadline),
    });
    if ('answer' in opened) {
      this.#noteFailover(opened.region);
      opened.answer.dataKey.fill(0);
      return { key: opened.answer.systemKey };
    }
    const { faults } = opened;
    if (faults.some((fault) => fault.faultClass !== 'corrupt')) throw everyRegionFailed(faults);
    return { unreadable: `it opens in no region (${faults.map((f) => `${f.region} ${f.errorName}`).join(', ')})` };
  }

  async renew(wrapped: Uint8Array, deadline: Deadline): Promise<WrapReport> {
    check(wrapped, 'wrapped', BYTES);
    checkDeadline(deadline);
    return renewWraps(wrapped, this.#regions, this.#failover, deadline);
  }

  /**
   * Wraps a data key in every region but the one that made it, in all at once. Those that fail are left out. They are
   * asked more than one round only where more than one region must have wrapped it, and only until so many have.
   */
  async #wrapInOthers(maker: KmsRegion, dataKey: Uint8Array, deadline: Deadline): Promise<RegionalKek[]> {
    const { minimumWrappedRegions, maxRounds } = this.#policy;
    const rounds = minimumWrappedRegions > 1 ? maxRounds : 1;
    const others = this.#regions.filter((region) => region !== maker);
    const { now } = this.#world;
    const enough = new AbortController();
    const tried = new Set<KmsRegion>();
    let wrappedRegions = 1;
    const wrap = async (region: KmsRegion, half: Deadline): Promise<Wrap> => {
      try {
        const wrapped = await region.encrypt(dataKey, half);
        wrappedRegions += 1;
        return wrapped;
      } finally {
        tried.add(region);
        if (tried.size === others.length && wrappedRegions >= minimumWrappedRegions) enough.abort(deadlineExceeded());
      }
    };
    // A region that hangs must not take the answer of those that have wrapped it.
    const limits = { ...halfOf(deadline, now), signal: AbortSignal.any([deadline.signal, enough.signal]) };
    const wrapIn = (region: KmsRegion): Promise<FirstAnswer<Wrap>> =>
      withDeadline(limits, now, (half) => {
        const ask = (r: KmsRegion): Promise<Wrap> => wrap(r, half);
        return this.#failover.firstAnswer([region], { action: 'Encrypt', deadline: half, ask }, rounds);
      }).catch((error: unknown) => {
        deadline.signal.throwIfAborted();
        if (!(error instanceof KeyfoldError)) throw error;
        return { faults: [new RegionFault(region.region, 'Encrypt', 'unavailable', 'NoAnswerInTime')] };
      });
    const outcomes = await Promise.all(others.map(wrapIn));
    const answered = outcomes.filter((outcome) => 'answer' in outcome);
    const faults = outcomes.flatMap((outcome) => ('faults' in outcome ? outcome.faults : []));
    if (wrappedRegions < minimumWrappedRegions) {
      const said = `${wrappedRegions} KMS regions wrapped a new key, and ${minimumWrappedRegions} must`;
      throw regionsFailed(faults, said);
    }
    for (const { region } of faults) this.#events.wrapMissing(region);
    return answered.map(({ region, answer }) => kekOf(region, answer));
  }

  #noteFailover(region: KmsRegion): void {
    if (region !== this.#regions[0]) this.#events.failedOver(region.region);
  }
}
