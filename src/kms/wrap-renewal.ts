import { timingSafeEqual } from 'node:crypto';
import type { Deadline } from '../async/deadline.ts';
import type { RegionWrap, WrapReport } from '../maintenance/system-key-maintenance.ts';
import type { Failover } from './failover.ts';
import { RegionFault } from './region-fault.ts';
import { decodeKekEnvelope, replaceKeks, type KekEnvelope, type RegionalKek } from './kek-envelope.ts';
import { parseKmsArn } from './key-arn.ts';
import type { KmsRegion } from './kms-region.ts';
import { kekOf, openIn, type OpenedWrap } from './regional-wraps.ts';

/**
 * The result of one region: the wrap that it decrypted, or its fault. Both are absent if the envelope has no wrap for
 * the region.
 */
interface Opening {
  readonly region: KmsRegion;
  readonly opened: OpenedWrap | undefined;
  readonly fault: RegionFault | undefined;
}

/**
 * Checks that every region can unwrap a System Key, and renews the wrap of each region that needs it. A region needs a
 * new wrap in any of these cases:
 * - none of its wraps can be decrypted
 * - it has several wraps
 * - its wrap was made by a key that is not the configured key
 *
 * The result contains a new wrap only if the region has decrypted it. If the renewal fails in a region, the region's
 * old wraps stay unchanged.
 */
export async function renewWraps(
  wrapped: Uint8Array,
  regions: readonly KmsRegion[],
  failover: Failover<KmsRegion>,
  deadline: Deadline,
): Promise<WrapReport> {
  const envelope = decodeKekEnvelope(wrapped);
  if (envelope === undefined) return { regions: [], renewed: undefined, unreadable: 'it is not wrapped by KMS' };
  const secrets: Buffer[] = [];
  const open = async (region: KmsRegion): Promise<Opening> => {
    const opening = await openAlone(region, envelope, failover, deadline);
    if (opening.opened !== undefined) secrets.push(opening.opened.dataKey, opening.opened.systemKey);
    return opening;
  };
  try {
    // Wait for every region, even if one throws, because the keys that the other regions have opened must be zeroed.
    const openings = (await Promise.allSettled(regions.map(open))).map((settled) => {
      if (settled.status === 'rejected') throw settled.reason;
      return settled.value;
    });
    const dataKey = openings.find(({ opened }) => opened !== undefined)?.opened?.dataKey;
    const results = await Promise.all(
      openings.map((opening) => renewIn(opening, envelope, dataKey, failover, deadline)),
    );
    const keks = results.flatMap(({ kek }) => kek ?? []);
    return {
      regions: results.map(({ report }) => report),
      renewed: keks.length === 0 ? undefined : replaceKeks(wrapped, keks),
    };
  } finally {
    for (const secret of secrets) secret.fill(0);
  }
}

async function openAlone(
  region: KmsRegion,
  envelope: KekEnvelope,
  failover: Failover<KmsRegion>,
  deadline: Deadline,
): Promise<Opening> {
  if (!envelope.kmsKeks.some((kek) => kek.region === region.region))
    return { region, opened: undefined, fault: undefined };
  const send = (r: KmsRegion): Promise<OpenedWrap> => openIn(r, envelope, deadline);
  const outcome = await failover.firstAnswer([region], { action: 'Decrypt', deadline, send }, 1);
  if ('answer' in outcome) return { region, opened: outcome.answer, fault: undefined };
  return { region, opened: undefined, fault: outcome.faults[0] };
}

async function renewIn(
  { region, opened, fault }: Opening,
  envelope: KekEnvelope,
  dataKey: Buffer | undefined,
  failover: Failover<KmsRegion>,
  deadline: Deadline,
): Promise<{ report: RegionWrap; kek?: RegionalKek }> {
  const report = { region: region.region, opens: opened !== undefined, renewed: false };
  const withFault = (why: RegionFault | undefined): RegionWrap =>
    why === undefined ? report : { ...report, fault: why.message };
  // Keep the old wraps if the region is unavailable or no region opened the data key. A new wrap could not be verified.
  if (
    dataKey === undefined ||
    (fault !== undefined && fault.faultClass !== 'corrupt' && fault.faultClass !== 'misconfigured')
  ) {
    return { report: withFault(fault) };
  }
  const only = envelope.kmsKeks.filter((kek) => kek.region === region.region).length === 1;
  if (opened !== undefined && only && opened.kek.arn === region.keyArn && isKey(region.keyArn)) return { report };
  const present = only ? opened?.kek.arn : undefined;
  const send = (r: KmsRegion): Promise<RegionalKek | undefined> => wrapUnlessPresent(r, present, dataKey, deadline);
  const outcome = await failover.firstAnswer([region], { action: 'Encrypt', deadline, send }, 1);
  if ('faults' in outcome) return { report: withFault(outcome.faults[0]) };
  const { answer: kek } = outcome;
  return kek === undefined ? { report } : { report: { region: region.region, opens: true, renewed: true }, kek };
}

/** Whether an ARN names a KMS key and not an alias. An alias ARN in a row does not show which key made the wrap. */
function isKey(arn: string): boolean {
  return parseKmsArn(arn)?.kind === 'key';
}

/**
 * Wraps a data key in a region, then checks that the region can decrypt the new wrap. If `present` is the ARN of the
 * KMS key that made the new wrap, the row already has a wrap by that key. The function then returns `undefined`.
 * @throws RegionFault if the region fails or cannot decrypt its new wrap
 */
async function wrapUnlessPresent(
  region: KmsRegion,
  present: string | undefined,
  dataKey: Buffer,
  deadline: Deadline,
): Promise<RegionalKek | undefined> {
  const kek = kekOf(region, await region.encrypt(dataKey, deadline));
  if (kek.arn === present) return undefined;
  const opened = await region.decrypt(kek.encryptedKek, kek.arn, deadline);
  const isProven = opened.length === dataKey.length && timingSafeEqual(opened, dataKey);
  opened.fill(0);
  if (isProven) return kek;
  throw new RegionFault(region.region, 'Decrypt', 'corrupt', 'NewWrapDoesNotOpen');
}
