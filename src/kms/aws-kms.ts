import { createSecretKey } from 'node:crypto';
import { seal } from '../crypto/aead.ts';
import {
  BYTES,
  check,
  FUNCTION,
  having,
  OBJECT,
  optional,
  optionsOf,
  recordOf,
  STRING,
  type Types,
} from '../input/checks.ts';
import { listening, numberFaults, withDefaults } from '../input/defaults.ts';
import { CREDENTIALS, sdkClient, type Credentials, type SdkClient } from '../connections/sdk-client.ts';
import type { Clock } from '../async/clock.ts';
import { checkDeadline, deadlineExceeded, eitherOf, halfOf, timerFaults, withDeadline } from '../async/deadline.ts';
import { endpointFaults, isOfOtherRegion } from '../input/endpoint.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';
import type { KeyManagementService, Unwrapped, Wrapped } from '../envelope/ports.ts';
import type { Deadline } from '../async/deadline.ts';
import type { WrapRenewer, WrapReport } from '../maintenance/system-key-maintenance.ts';
import { rowProofKey } from '../records/row-proof.ts';
import { failoverPolicy, type FailoverPolicy } from './failover-policy.ts';
import {
  Failover,
  FAILOVER_DEPENDENCIES,
  NO_EVENTS,
  type FailoverDependencies,
  type FirstAnswer,
  type KmsEvents,
} from './failover.ts';
import { everyRegionFailed, RegionFault, regionsFailed } from './region-fault.ts';
import { decodeKekEnvelope, encodeKekEnvelope, type RegionalKek } from './kek-envelope.ts';
import { keyFaults, parseKmsArn } from './key-arn.ts';
import type { KmsRegion, Wrap } from './kms-region.ts';
import type { RegionState } from './region-health.ts';
import { kekOf, openIn } from './regional-wraps.ts';
import { RegionalKms, type KmsTimeouts, type RegionalKmsOptions } from './regional-kms.ts';

/** Options of {@link AwsKms}. */
export interface AwsKmsOptions {
  /** Maps each region to the key ARN or alias ARN of its KMS key. */
  readonly keys: Readonly<Record<string, string>>;
  /** The region that `AwsKms` tries first. Usually this is the region of the process. */
  readonly preferredRegion: string;
  /** Overrides of the default timeouts. */
  readonly timeouts?: Partial<KmsTimeouts>;
  /** Overrides of the default failover policy. */
  readonly failover?: Partial<FailoverPolicy>;
  /** Replaces AWS's endpoint in every region, so that an emulator can be used. */
  readonly endpoint?: string;
  /** The AWS credentials for every region. Default: the credentials that the AWS SDK finds in its environment. */
  readonly credentials?: Credentials;
  /**
   * Returns a `KMSClient` of the AWS SDK for a region, with `maxAttempts: 1`, because `AwsKms` makes all retries.
   * `AwsKms` calls this function once for each region, and closes no client. `timeouts.requestTimeoutMs` still limits
   * each call, and connections from before a Lambda freeze are not used again. The client's own settings replace
   * `endpoint`, `credentials` and `timeouts.connectionTimeoutMs`, so callers cannot combine these with `clients`.
   * @example
   * clients: (region) => new KMSClient({ region, maxAttempts: 1, useFipsEndpoint: true })
   */
  readonly clients?: (region: string) => SdkClient;
  /** Listeners for KMS events. Each of them is optional. */
  readonly events?: Partial<KmsEvents>;
}

/** The clock, randomness, sleep and KMS connections of {@link AwsKms}. Tests and simulations replace them. */
export interface KmsDependencies extends FailoverDependencies {
  /** Creates the KMS client of one region. */
  readonly connect: (options: RegionalKmsOptions) => KmsRegion;
}

/** The failover policy was tuned for this request timeout with `npm run fleet`. */
export const DEFAULT_TIMEOUTS: KmsTimeouts = { connectionTimeoutMs: 1000, requestTimeoutMs: 2000 };

const OPTIONS: Types<AwsKmsOptions> = {
  keys: OBJECT,
  preferredRegion: STRING,
  timeouts: optional(OBJECT),
  failover: optional(OBJECT),
  endpoint: optional(STRING),
  credentials: optional(CREDENTIALS),
  clients: optional(FUNCTION),
  events: optional(having()),
};
const KMS_CLIENT = sdkClient('KMS', 'a KMSClient');
const DEPENDENCIES = having('now', 'random', 'sleep', 'connect');

const DEFAULT_DEPENDENCIES: KmsDependencies = {
  ...FAILOVER_DEPENDENCIES,
  connect: (options) => new RegionalKms(options),
};

/**
 * Wraps System Keys with AWS KMS in several regions. A new data key seals each System Key, and the KMS key of each
 * region wraps that data key. Any one region can therefore unwrap the System Key. The KMS keys do not have to be
 * replicas of each other.
 *
 * @example
 * const kms = new AwsKms({
 *   keys: {
 *     'eu-west-1': 'arn:aws:kms:eu-west-1:111122223333:alias/keyfold',
 *     'eu-central-1': 'arn:aws:kms:eu-central-1:111122223333:alias/keyfold',
 *   },
 *   preferredRegion: 'eu-west-1',
 * });
 */
export class AwsKms implements KeyManagementService, WrapRenewer {
  /** The preferred region comes first. */
  readonly #regions: readonly KmsRegion[];
  readonly #failover: Failover<KmsRegion>;
  readonly #policy: FailoverPolicy;
  readonly #events: KmsEvents;
  readonly #now: Clock;

  /**
   * @param dependencies only tests and simulations pass these
   * @throws TypeError that names an option of the wrong type or an unknown option
   * @throws KeyfoldError `InvalidConfiguration`, with a list of every invalid region, ARN and number
   */
  constructor(options: AwsKmsOptions, dependencies: KmsDependencies = DEFAULT_DEPENDENCIES) {
    const given = optionsOf(options, 'options', OPTIONS);
    check(dependencies, 'dependencies', DEPENDENCIES);
    const { preferredRegion, failover = {}, endpoint, credentials } = given;
    const keys = recordOf<string>(given.keys, 'options.keys', STRING);
    const faults = keyFaults(keys, preferredRegion);
    const timeouts = withDefaults(DEFAULT_TIMEOUTS, given.timeouts ?? {}, 'timeouts');
    faults.push(...numberFaults(timeouts, DEFAULT_TIMEOUTS));
    faults.push(...timerFaults(timeouts, ['connectionTimeoutMs', 'requestTimeoutMs']));
    faults.push(...endpointFaults(endpoint).map((fault) => `endpoint ${fault}`));
    if (faults.length === 0 && endpoint !== undefined) {
      const others = Object.keys(keys).filter((region) => isOfOtherRegion(endpoint, region));
      faults.push(...others.map((region) => `endpoint is in another region than the KMS key of ${region}`));
    }
    if (faults.length > 0) throw invalidConfiguration(faults);
    const clientOf = clientsOf(given);
    const accounts = new Set(Object.values(keys).map((arn) => parseKmsArn(arn)?.account ?? ''));
    this.#regions = Object.entries(keys)
      .toSorted(([a], [b]) => Number(b === preferredRegion) - Number(a === preferredRegion))
      .map(([region, keyArn]) =>
        dependencies.connect({ region, keyArn, accounts, timeouts, endpoint, credentials, client: clientOf(region) }),
      );
    this.#policy = failoverPolicy(failover, this.#regions.length);
    this.#events = listening(NO_EVENTS, given.events, 'options.events');
    this.#now = dependencies.now;
    this.#failover = new Failover(this.#regions, this.#policy, dependencies, this.#events);
  }

  /** Returns the last known state of each region. The preferred region comes first. Sends no request to KMS. */
  regionStates(): RegionState[] {
    return this.#failover.states();
  }

  async wrap(key: Uint8Array, deadline: Deadline): Promise<Wrapped> {
    check(key, 'key', BYTES);
    checkDeadline(deadline);
    // A copy of the key, because the caller may overwrite the key while KMS answers.
    const systemKey = createSecretKey(key);
    const generated = await this.#failover.firstAnswer(this.#regions, {
      action: 'GenerateDataKey',
      deadline,
      send: (region) => region.generateDataKey(deadline),
    });
    if ('faults' in generated) throw everyRegionFailed(generated.faults);
    const { region, answer } = generated;
    this.#noteFailover(region);
    try {
      const bytes = systemKey.export();
      const encryptedKey = seal(createSecretKey(answer.plaintext), bytes);
      bytes.fill(0);
      const others = await this.#wrapInOthers(region, answer.plaintext, deadline);
      const wrapped = encodeKekEnvelope({ encryptedKey, kmsKeks: [kekOf(region, answer), ...others] });
      return { wrapped, rowProof: { key: rowProofKey(answer.plaintext), sealed: encryptedKey } };
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
    if (envelope.kmsKeks.length === 0) return { unreadable: 'it has no wrap of any region' };
    // If the row has no wrap for a configured region, the options are at fault, not the row. A process whose options
    // name other regions may be able to open it.
    if (regions.length === 0) {
      const faults = this.#regions.map(({ region }) => new RegionFault(region, 'Decrypt', 'misconfigured', 'NoWrap'));
      throw everyRegionFailed(faults);
    }
    const opened = await this.#failover.firstAnswer(regions, {
      action: 'Decrypt',
      deadline,
      send: (region) => openIn(region, envelope, deadline),
    });
    if ('answer' in opened) {
      this.#noteFailover(opened.region);
      const { dataKey, systemKey } = opened.answer;
      const rowProof = { key: rowProofKey(dataKey), sealed: envelope.encryptedKey };
      dataKey.fill(0);
      return { key: systemKey, rowProof };
    }
    const { faults } = opened;
    if (faults.some((fault) => fault.faultClass !== 'corrupt')) throw everyRegionFailed(faults);
    return { unreadable: `it opens in no region (${faults.map((f) => `${f.region} ${f.errorName}`).join(', ')})` };
  }

  async renew(wrapped: Uint8Array, deadline: Deadline): Promise<WrapReport> {
    check(wrapped, 'wrapped', BYTES);
    checkDeadline(deadline);
    const given = new Uint8Array(wrapped);
    // To keep cold starts short, the code that only maintenance runs is loaded at its first use.
    const { renewWraps } = await import('./wrap-renewal.ts');
    return renewWraps(given, this.#regions, this.#failover, deadline);
  }

  /**
   * Wraps a data key concurrently in every region except `maker`, the region that generated it. Regions that fail are
   * not in the result. If `minimumWrappedRegions` is more than 1, the function retries failed regions until enough
   * regions have wrapped the data key.
   * @throws KeyfoldError if fewer than `minimumWrappedRegions` regions have wrapped the data key
   */
  async #wrapInOthers(maker: KmsRegion, dataKey: Uint8Array, deadline: Deadline): Promise<RegionalKek[]> {
    const { minimumWrappedRegions, maxRounds } = this.#policy;
    const rounds = minimumWrappedRegions > 1 ? maxRounds : 1;
    const others = this.#regions.filter((region) => region !== maker);
    const now = this.#now;
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
    // Give each region only half of the remaining time, so that one hanging region does not make the whole wrap time
    // out.
    const limits = { ...halfOf(deadline, now), signal: eitherOf(deadline.signal, enough.signal) };
    const wrapIn = (region: KmsRegion): Promise<FirstAnswer<Wrap, KmsRegion>> =>
      withDeadline(limits, now, (half) => {
        const send = (r: KmsRegion): Promise<Wrap> => wrap(r, half);
        return this.#failover.firstAnswer([region], { action: 'Encrypt', deadline: half, send }, rounds);
      }).catch((error: unknown) => {
        deadline.signal.throwIfAborted();
        if (!(error instanceof KeyfoldError)) throw error;
        return { faults: [new RegionFault(region.region, 'Encrypt', 'unavailable', 'NoAnswerInTime')] };
      });
    const outcomes = await Promise.all(others.map(wrapIn));
    const answered = outcomes.filter((outcome) => 'answer' in outcome);
    const faults = outcomes.flatMap((outcome) => ('faults' in outcome ? outcome.faults : []));
    if (wrappedRegions < minimumWrappedRegions) {
      const summary = `${wrappedRegions} KMS regions wrapped a new key, and ${minimumWrappedRegions} must`;
      throw regionsFailed(faults, summary);
    }
    for (const { region } of faults) this.#events.wrapMissing(region);
    return answered.map(({ region, answer }) => kekOf(region, answer));
  }

  #noteFailover(region: KmsRegion): void {
    if (region !== this.#regions[0]) this.#events.failedOver(region.region);
  }
}

/**
 * Returns a function that returns the caller's client for a region. That function returns undefined if the caller gave
 * no clients.
 * @throws TypeError if the caller combines clients with settings of Keyfold's own clients, or if a client is not a
 * KMSClient
 */
function clientsOf({ clients, ...options }: AwsKmsOptions): (region: string) => SdkClient | undefined {
  if (clients === undefined) return () => undefined;
  const own = [
    ['endpoint', options.endpoint],
    ['credentials', options.credentials],
    ['timeouts.connectionTimeoutMs', options.timeouts?.connectionTimeoutMs],
  ].find(([, value]) => value !== undefined);
  if (own !== undefined) throw new TypeError(`options must not have both clients and ${own[0] as string}.`);
  return (region) => {
    const client = clients(region);
    check(client, `options.clients('${region}')`, KMS_CLIENT);
    return client;
  };
}
