import { createSecretKey } from 'node:crypto';
import { open } from '../crypto/aead.ts';
import type { Deadline } from '../async/deadline.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import { RegionFault } from './region-fault.ts';
import type { KekEnvelope, RegionalKek } from './kek-envelope.ts';
import { parseKmsArn } from './key-arn.ts';
import type { KmsRegion, Wrap } from './kms-region.ts';

/** A System Key that one region has unwrapped. The caller owns both buffers and must zero them. */
export interface OpenedWrap {
  readonly systemKey: Buffer;
  readonly dataKey: Buffer;
  /** The wrap that the region decrypted. */
  readonly kek: RegionalKek;
}

/** Converts a region's wrap to the form that the envelope stores. */
export function kekOf({ region }: KmsRegion, { arn, wrapped }: Wrap): RegionalKek {
  return { region, arn, encryptedKek: wrapped };
}

/**
 * Keyfold and Asherah write one wrap per region, and each wrap takes one or two KMS calls. Without this limit, a
 * tampered row with thousands of wraps would cause thousands of calls.
 */
const MAX_WRAPS_OF_A_REGION = 4;

/**
 * Unwraps a System Key with one region's wraps of its data key. Tries the first four of them.
 * @throws RegionFault the fault of the last wrap that was tried
 * @throws KeyfoldError `DeadlineExceeded`, once the deadline has passed
 */
export async function openIn(region: KmsRegion, envelope: KekEnvelope, deadline: Deadline): Promise<OpenedWrap> {
  let fault: unknown;
  const ofRegion = envelope.kmsKeks.filter((kek) => kek.region === region.region);
  for (const kek of ofRegion.slice(0, MAX_WRAPS_OF_A_REGION)) {
    for (const keyId of keysToTry(kek, region)) {
      try {
        const dataKey = await region.decrypt(kek.encryptedKek, keyId, deadline);
        return { systemKey: openWith(dataKey, envelope, region), dataKey, kek };
      } catch (error) {
        fault = error;
        if (!isRefusal(error)) throw error;
      }
    }
  }
  throw fault ?? new RegionFault(region.region, 'Decrypt', 'corrupt', 'NoWrap');
}

/**
 * The keys to try for a wrap. A wrap by Keyfold contains the ARN of the KMS key that made it. A wrap by Asherah may
 * name an alias, which may point to another key by now. For an alias, try the configured key first, and then let KMS
 * find the key.
 */
function keysToTry(kek: RegionalKek, region: KmsRegion): (string | undefined)[] {
  return parseKmsArn(kek.arn)?.kind === 'key' ? [kek.arn] : [region.keyArn, undefined];
}

/** Whether another wrap or another key of the same region might still succeed after this error. */
function isRefusal(error: unknown): boolean {
  return error instanceof RegionFault && (error.faultClass === 'misconfigured' || error.faultClass === 'corrupt');
}

/** Opens the System Key with a data key. If that fails, zeroes the data key and throws a `RegionFault`. */
function openWith(dataKey: Buffer, envelope: KekEnvelope, { region }: KmsRegion): Buffer {
  const key = dataKey.length === KEY_BYTES ? open(createSecretKey(dataKey), envelope.encryptedKey) : undefined;
  if (key !== undefined) return key;
  dataKey.fill(0);
  throw new RegionFault(region, 'Decrypt', 'corrupt', 'SystemKeyDoesNotOpen');
}
