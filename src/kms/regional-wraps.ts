import { createSecretKey } from 'node:crypto';
import { open } from '../crypto/aead.ts';
import type { Deadline } from '../async/deadline.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import { RegionFault } from './faults.ts';
import type { KekEnvelope, RegionalKek } from './kek-envelope.ts';
import { parseKmsArn } from './key-arn.ts';
import type { KmsRegion, Wrap } from './kms-region.ts';

/** A System Key as one region has opened it. Both buffers are the caller's, who zeroes them. */
export interface OpenedWrap {
  readonly systemKey: Buffer;
  readonly dataKey: Buffer;
  /** The wrap that opened. */
  readonly kek: RegionalKek;
}

/** A region's wrap as the envelope keeps it. */
export function kekOf({ region }: KmsRegion, { arn, wrapped }: Wrap): RegionalKek {
  return { region, arn, encryptedKek: wrapped };
}

/**
 * Keyfold writes one wrap for a region, and so does Asherah. A row with thousands would otherwise make one or two KMS
 * calls for each.
 */
const MAX_WRAPS_OF_A_REGION = 4;

/**
 * Opens a System Key with one region's wraps of its data key, of which there may be several. The first four are tried.
 * @throws RegionFault the last wrap's, or the deadline's reason
 */
export async function openIn(region: KmsRegion, envelope: KekEnvelope, deadline: Deadline): Promise<OpenedWrap> {
  let fault: unknown = new RegionFault(region.region, 'Decrypt', 'corrupt', 'NoWrap');
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
  throw fault;
}

/**
 * Our own wraps name the key that made them. Asherah's name what it was configured with, which may have moved since.
 */
function keysToTry(kek: RegionalKek, region: KmsRegion): (string | undefined)[] {
  return parseKmsArn(kek.arn)?.kind === 'key' ? [kek.arn] : [region.keyArn, undefined];
}

/** Whether another wrap or another key of the same region may open what this one did not. */
function isRefusal(error: unknown): boolean {
  return error instanceof RegionFault && (error.faultClass === 'misconfigured' || error.faultClass === 'corrupt');
}

/** The System Key; the data key is zeroed where it does not open it. */
function openWith(dataKey: Buffer, envelope: KekEnvelope, { region }: KmsRegion): Buffer {
  const key = dataKey.length === KEY_BYTES ? open(createSecretKey(dataKey), envelope.encryptedKey) : undefined;
  if (key !== undefined) return key;
  dataKey.fill(0);
  throw new RegionFault(region, 'Decrypt', 'corrupt', 'SystemKeyDoesNotOpen');
}
