import { createSecretKey } from 'node:crypto';
import { KMSClient } from '@aws-sdk/client-kms';
import { open } from '../../src/crypto/aead.ts';
import type { KeyManagementService, Unwrapped } from '../../src/envelope/ports.ts';
import type { Deadline } from '../../src/async/deadline.ts';
import { everyRegionFailed, RegionFault } from '../../src/kms/region-fault.ts';
import { decodeKekEnvelope } from '../../src/kms/kek-envelope.ts';
import { rowProofKey } from '../../src/records/row-proof.ts';
import type { KmsRegion } from '../../src/kms/kms-region.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** Calls one region, and retries as the policy specifies. @throws RegionFault */
type SendToRegion = (region: KmsRegion, send: () => Promise<Buffer>) => Promise<Buffer>;

/** Tries the regions in order and remembers no failures, as Asherah and a plain loop over SDK clients do. */
class InOrder implements KeyManagementService {
  readonly #regions: readonly KmsRegion[];
  readonly #askRegion: SendToRegion;

  constructor(regions: readonly KmsRegion[], askRegion: SendToRegion) {
    this.#regions = regions;
    this.#askRegion = askRegion;
  }

  wrap(): Promise<Uint8Array> {
    throw new Error('a simulated fleet only decrypts');
  }

  async unwrap(wrapped: Uint8Array, deadline: Deadline): Promise<Unwrapped> {
    const envelope = decodeKekEnvelope(wrapped);
    const faults: RegionFault[] = [];
    for (const region of this.#regions) {
      const kek = envelope?.kmsKeks.find((one) => one.region === region.region);
      if (envelope === undefined || kek === undefined) continue;
      try {
        const dataKey = await this.#askRegion(region, () => region.decrypt(kek.encryptedKek, kek.arn, deadline));
        const key = open(createSecretKey(dataKey), envelope.encryptedKey);
        if (key === undefined) return { unreadable: 'it does not open' };
        return { key, rowProof: { key: rowProofKey(dataKey), sealed: envelope.encryptedKey } };
      } catch (error) {
        if (!(error instanceof RegionFault)) throw error;
        faults.push(error);
      }
    }
    throw everyRegionFailed(faults);
  }
}

/** Asherah's policy, which calls each region once. */
export function asherahKms(regions: readonly KmsRegion[]): KeyManagementService {
  return new InOrder(regions, (_, send) => send());
}

type Strategy = Extract<
  Awaited<ReturnType<KMSClient['config']['retryStrategy']>>,
  { acquireInitialRetryToken: unknown }
>;

/**
 * The AWS SDK's policy, which makes the default retries in a region and then moves on to the next region. The retries
 * come from the SDK's own strategy.
 */
export async function sdkKms(): Promise<(regions: readonly KmsRegion[], clock: VirtualClock) => KeyManagementService> {
  const client = new KMSClient({ region: 'us-west-2' });
  const strategy = (await client.config.retryStrategy()) as Strategy;
  const maxAttempts = await client.config.maxAttempts();
  client.destroy();
  const Standard = strategy.constructor as new (maxAttempts: number) => Strategy;
  return (regions) => {
    const strategies = new Map(regions.map((region) => [region, new Standard(maxAttempts)]));
    return new InOrder(regions, async (region, send) => retried(strategies.get(region) ?? strategy, send));
  };
}

/** Retries as the SDK's retry middleware does, with the given strategy. */
async function retried(strategy: Strategy, send: () => Promise<Buffer>): Promise<Buffer> {
  let token = await strategy.acquireInitialRetryToken('');
  for (;;) {
    try {
      const answer = await send();
      strategy.recordSuccess(token);
      return answer;
    } catch (error) {
      if (!(error instanceof RegionFault)) throw error;
      const errorType = error.faultClass === 'throttled' ? 'THROTTLING' : 'TRANSIENT';
      try {
        token = await strategy.refreshRetryTokenForRetry(token, { errorType });
      } catch {
        throw error;
      }
    }
  }
}
