import { orAborted } from '../../src/async/deadline.ts';
import type { Deadline } from '../../src/async/deadline.ts';
import { RegionFault, type KmsAction } from '../../src/kms/region-fault.ts';
import type { KmsRegion, Wrap } from '../../src/kms/kms-region.ts';
import type { RegionalKmsOptions } from '../../src/kms/regional-kms.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** How a region behaves at a given moment. */
export type RegionCondition =
  /** The region serves up to a number of calls per second, and throttles the rest. */
  | { readonly kind: 'answers'; readonly perSecond: number }
  /** The region accepts calls and never responds. */
  | { readonly kind: 'hangs' }
  /** The region refuses connections. */
  | { readonly kind: 'refuses' };

/**
 * The size of the token bucket, in seconds: an empty bucket needs this time to fill at the rate of the quota. It is
 * short because KMS throttles by the second.
 */
const BURST_SECONDS = 0.1;
const REFUSAL_MS = 2;

/** A model of KMS in one region, shared by the whole fleet: its quota, its latency and its faults. */
export class RegionModel {
  readonly region: string;
  condition: RegionCondition;
  /** The number of calls in each second of virtual time, including calls without a response. */
  readonly callsBySecond = new Map<number, number>();
  readonly #medianMs: number;
  readonly #clock: VirtualClock;
  readonly #random: () => number;
  #tokens = 0;
  #filledAtMs = 0;

  constructor(region: string, perSecond: number, medianMs: number, clock: VirtualClock, random: () => number) {
    this.region = region;
    this.condition = { kind: 'answers', perSecond };
    this.#medianMs = medianMs;
    this.#clock = clock;
    this.#random = random;
  }

  /** The number of calls so far. */
  get calls(): number {
    return [...this.callsBySecond.values()].reduce((a, b) => a + b, 0);
  }

  /** Simulates one call. @throws RegionFault if the region fails, or the deadline's abort reason */
  async call(action: KmsAction, requestTimeoutMs: number, deadline: Deadline): Promise<void> {
    const second = Math.floor(this.#clock.now() / 1000);
    this.callsBySecond.set(second, (this.callsBySecond.get(second) ?? 0) + 1);
    const { kind } = this.condition;
    if (kind === 'hangs') {
      await this.#clock.sleep(requestTimeoutMs, deadline.signal);
      throw new RegionFault(this.region, action, 'unavailable', 'TimeoutError');
    }
    if (kind === 'refuses') {
      await this.#clock.sleep(REFUSAL_MS, deadline.signal);
      throw new RegionFault(this.region, action, 'unavailable', 'ECONNREFUSED');
    }
    const admitted = this.#admits(this.condition.perSecond);
    await this.#clock.sleep(latencyMs(this.#medianMs, this.#random), deadline.signal);
    if (!admitted) throw new RegionFault(this.region, action, 'throttled', 'ThrottlingException');
  }

  /**
   * Makes a client of this region for AwsKms. The plain data key also serves as the wrapped key, because nothing here
   * is secret.
   */
  connect({ keyArn, timeouts }: RegionalKmsOptions): KmsRegion {
    const { region } = this;
    const call = (action: KmsAction, deadline: Deadline): Promise<void> =>
      this.call(action, timeouts.requestTimeoutMs, deadline);
    return {
      region,
      keyArn,
      generateDataKey: async (deadline) => {
        await call('GenerateDataKey', deadline);
        return { plaintext: Buffer.alloc(32, 7), wrapped: Buffer.alloc(32, 7), arn: keyArn };
      },
      encrypt: async (plaintext, deadline): Promise<Wrap> => {
        const wrapped = Buffer.from(plaintext);
        await call('Encrypt', deadline);
        return { wrapped, arn: keyArn };
      },
      decrypt: async (wrapped, _keyId, deadline) => {
        await orAborted(call('Decrypt', deadline), deadline.signal);
        return Buffer.from(wrapped);
      },
    };
  }

  #admits(perSecond: number): boolean {
    const nowMs = this.#clock.now();
    const most = Math.max(1, perSecond * BURST_SECONDS);
    this.#tokens = Math.min(most, this.#tokens + ((nowMs - this.#filledAtMs) / 1000) * perSecond);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** A log-normal latency with the given median. Its 99th percentile is about four times the median. */
function latencyMs(medianMs: number, random: () => number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return medianMs * Math.exp(0.6 * normal);
}
