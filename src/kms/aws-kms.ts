import { createSecretKey } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { open, seal } from '../envelope/aead.ts';
import { numberFaults, overDefaults } from '../envelope/defaults.ts';
import { invalidConfiguration } from '../envelope/errors.ts';
import type { Deadline, KeyManagementService, Unwrapped } from '../envelope/ports.ts';
import { KEY_BYTES } from '../envelope/random.ts';
import { failoverPolicy, type FailoverPolicy } from './failover-policy.ts';
import { Failover, NO_EVENTS, type FailoverWorld, type KmsEvents } from './failover.ts';
import { everyRegionFailed, RegionFault } from './faults.ts';
import { decodeKekEnvelope, encodeKekEnvelope, type KekEnvelope, type RegionalKek } from './kek-envelope.ts';
import { keyFaults, parseKmsArn } from './key-arn.ts';
import type { KmsRegion, Wrap } from './kms-region.ts';
import type { RegionState } from './region-health.ts';
import { RegionalKms, type KmsTimeouts, type RegionalKmsOptions } from './regional-kms.ts';

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
export interface KmsWorld extends FailoverWorld {
  /** KMS in one region. */
  readonly connect: (options: RegionalKmsOptions) => KmsRegion;
}

const DEFAULT_TIMEOUTS: KmsTimeouts = { connectionTimeoutMs: 1000, requestTimeoutMs: 2000 };

const REAL_WORLD: KmsWorld = {
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
 * AWS KMS over several regions. A System Key is sealed by a data key that a KMS key of each region wraps, so that any one
 * region opens it. The keys need not know of each other.
 */
export class AwsKms implements KeyManagementService {
  /** In the order of preference. */
  readonly #regions: readonly KmsRegion[];
  readonly #failover: Failover;
  readonly #policy: FailoverPolicy;
  readonly #events: KmsEvents;

  /**
   * `world` is the real one, but for a simulation.
   * @throws KeyfoldError `InvalidConfiguration`, listing each region, ARN and number at fault
   */
  constructor(options: AwsKmsOptions, world: KmsWorld = REAL_WORLD) {
    const { keys, preferredRegion, failover = {} } = options;
    const faults = keyFaults(keys, preferredRegion);
    const timeouts = overDefaults(DEFAULT_TIMEOUTS, options.timeouts ?? {});
    faults.push(...numberFaults(timeouts, DEFAULT_TIMEOUTS));
    if (faults.length > 0) throw invalidConfiguration(faults);
    const accounts = new Set(Object.values(keys).map((arn) => parseKmsArn(arn)?.account ?? ''));
    this.#regions = Object.entries(keys)
      .toSorted(([a], [b]) => Number(b === preferredRegion) - Number(a === preferredRegion))
      .map(([region, arn]) => world.connect({ region, keyArn: arn, accounts, timeouts, endpoint: options.endpoint }));
    this.#policy = failoverPolicy(failover, this.#regions.length);
    this.#events = options.events ?? NO_EVENTS;
    this.#failover = new Failover(this.#regions, this.#policy, world, this.#events);
  }

  /** Each region as last seen, the preferred first; makes no call. */
  regionStates(): RegionState[] {
    return this.#failover.states();
  }

  async wrap(key: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
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
      return { key: opened.answer };
    }
    const { faults } = opened;
    if (faults.some((fault) => fault.faultClass !== 'corrupt')) throw everyRegionFailed(faults);
    return { unreadable: `it opens in no region (${faults.map((f) => `${f.region} ${f.errorName}`).join(', ')})` };
  }

  /**
   * Wraps a data key in every region but the one that made it, in all at once. Those that fail are left out, and asked more
   * than one round only where more than one region must have wrapped it.
   */
  async #wrapInOthers(maker: KmsRegion, dataKey: Uint8Array, deadline: Deadline): Promise<RegionalKek[]> {
    const { minimumWrappedRegions, maxRounds } = this.#policy;
    const rounds = minimumWrappedRegions > 1 ? maxRounds : 1;
    const others = this.#regions.filter((region) => region !== maker);
    const ask = (region: KmsRegion): Promise<Wrap> => region.encrypt(dataKey, deadline);
    const outcomes = await Promise.all(
      others.map((region) => this.#failover.firstAnswer([region], { action: 'Encrypt', deadline, ask }, rounds)),
    );
    const answered = outcomes.filter((outcome) => 'answer' in outcome);
    const faults = outcomes.flatMap((outcome) => ('faults' in outcome ? outcome.faults : []));
    if (answered.length + 1 < minimumWrappedRegions) throw everyRegionFailed(faults);
    for (const { region } of faults) this.#events.wrapMissing(region);
    return answered.map(({ region, answer }) => kekOf(region, answer));
  }

  #noteFailover(region: KmsRegion): void {
    if (region !== this.#regions[0]) this.#events.failedOver(region.region);
  }
}

function kekOf({ region }: KmsRegion, { arn, wrapped }: Wrap): RegionalKek {
  return { region, arn, encryptedKek: wrapped };
}

/** Opens a System Key with one region's wraps of its data key, of which there may be several. */
async function openIn(region: KmsRegion, envelope: KekEnvelope, deadline: Deadline): Promise<Buffer> {
  let fault: unknown;
  for (const kek of envelope.kmsKeks) {
    if (kek.region !== region.region) continue;
    for (const keyId of keysToTry(kek, region)) {
      try {
        return openWith(await region.decrypt(kek.encryptedKek, keyId, deadline), envelope, region);
      } catch (error) {
        fault = error;
        if (!isRefusal(error)) throw error;
      }
    }
  }
  throw fault;
}

/** Our own wraps name the key that made them. Asherah's name what it was configured with, which may have moved since. */
function keysToTry(kek: RegionalKek, region: KmsRegion): (string | undefined)[] {
  return parseKmsArn(kek.arn)?.kind === 'key' ? [kek.arn] : [region.keyArn, undefined];
}

/** Whether another wrap or another key of the same region may open what this one did not. */
function isRefusal(error: unknown): boolean {
  return error instanceof RegionFault && (error.faultClass === 'misconfigured' || error.faultClass === 'corrupt');
}

function openWith(dataKey: Buffer, envelope: KekEnvelope, { region }: KmsRegion): Buffer {
  try {
    const key = dataKey.length === KEY_BYTES ? open(createSecretKey(dataKey), envelope.encryptedKey) : undefined;
    if (key !== undefined) return key;
    throw new RegionFault(region, 'Decrypt', 'corrupt', 'SystemKeyDoesNotOpen');
  } finally {
    dataKey.fill(0);
  }
}
