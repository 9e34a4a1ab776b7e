import { isDatedAhead, retirementByDate } from '../../envelope/key-standing.ts';
import type { CryptoPolicy } from '../../envelope/crypto-policy.ts';
import type { KeyRowProofs } from '../../envelope/key-dependencies.ts';
import type { EnvelopeKeyRecord, KeyManagementService } from '../../envelope/ports.ts';
import type { Clock } from '../../async/clock.ts';
import { KeyfoldError } from '../../errors.ts';
import { decodeKekEnvelope, type RegionalKek } from '../../kms/kek-envelope.ts';
import { parseKmsArn } from '../../kms/key-arn.ts';
import { faultText } from '../../connections/call-fault.ts';
import { checkRows } from '../../maintenance/row-checks.ts';
import { AHEAD_SHARE } from '../../maintenance/system-key-maintenance.ts';
import type { KeyRow } from '../../maintenance/key-table.ts';
import type { KeyNaming } from '../../records/ids.ts';
import { fault, ok, skip, warn, type HealthCheck } from './check.ts';
import type { KmsRegionHealth } from './kms-health.ts';

const DAY_MS = 86_400_000;
/** Maintenance runs daily, so a System Key that is still missing after two days means that runs have failed. */
const MAINTENANCE_SLACK_MS = 2 * DAY_MS;
const KEY_SERVICE_FIX = 'find the error name in docs/how-to/use-vault.md or docs/how-to/use-an-hsm.md';
const MAINTAIN = 'keyfold maintain, and docs/runbooks/maintenance-fails.md';

export interface SystemKeyChecks {
  readonly naming: KeyNaming;
  readonly policy: CryptoPolicy;
  readonly keyRowProofs: KeyRowProofs;
  readonly now: Clock;
  readonly kms: KeyManagementService;
  readonly regions: readonly KmsRegionHealth[];
  /** Whether the table has at least one row, whatever its ID. */
  readonly holdsRows: boolean;
  /** What an operator should do about unreadable rows. */
  readonly rowsFix: string;
}

/** Checks the rows of the service's System Keys. */
export async function checkSystemKeys(rows: readonly KeyRow[], checks: SystemKeyChecks): Promise<HealthCheck[]> {
  const readable = rows.flatMap((row) => ('unreadable' in row ? [] : [row]));
  const broken = rows.filter((row) => 'unreadable' in row);
  return [
    broken.length === 0
      ? countOf(rows, checks)
      : fault('system keys', `unreadable rows: ${datesOf(broken)}`, checks.rowsFix),
    ageOf(readable, checks),
    datesAheadOf(readable, checks),
    ...(await Promise.all(checks.regions.map((region) => wrapsIn(region, readable)))),
    await proofsOf(rows, checks),
  ];
}

function countOf({ length }: readonly KeyRow[], { naming, holdsRows }: SystemKeyChecks): HealthCheck {
  const check = 'system keys';
  const says = `${length} of ${naming.systemKeyId}`;
  if (length > 0 || !holdsRows) return ok(check, says);
  const fix =
    'if the service is not new, correct KEYFOLD_SERVICE, KEYFOLD_PRODUCT or KEYFOLD_REGION_SUFFIX; ' +
    'if rows were deleted, docs/runbooks/table-lost.md; otherwise encrypt once';
  return warn(check, `${says}, but the table has other rows`, fix);
}

function datesOf(rows: readonly { readonly created: number | undefined }[]): string {
  return rows.map(({ created }) => String(created ?? '?')).join(', ');
}

function ageOf(rows: readonly EnvelopeKeyRecord[], { policy, now }: SystemKeyChecks): HealthCheck {
  const check = 'system keys age';
  if (rows.length === 0) return ok(check, 'none yet: the first encrypt makes one');
  const sealing = rows.find((row) => !row.revoked && retirementByDate(policy, row.created, now()) === undefined);
  if (sealing === undefined) {
    return warn(check, 'no System Key may seal, so the next encrypt must wait for KMS to make one', MAINTAIN);
  }
  const { created } = sealing;
  const leftMs = created * 1000 + policy.expireAfterMs - now();
  const says = `${created} expires in ${(leftMs / DAY_MS).toFixed(1)} days`;
  const isOverdue = leftMs < policy.expireAfterMs * AHEAD_SHARE - MAINTENANCE_SLACK_MS;
  return isOverdue ? warn(check, `${says}, and the maintenance has not made the next one`, MAINTAIN) : ok(check, says);
}

function datesAheadOf(rows: readonly EnvelopeKeyRecord[], { now, policy }: SystemKeyChecks): HealthCheck {
  const check = 'system keys dates';
  if (rows.length > 0 && rows.every(({ created }) => created < policy.minOpeningCreated)) {
    const says = 'all System Keys were created before KEYFOLD_MIN_OPENING_CREATED, so no record opens';
    return fault(check, says, 'correct KEYFOLD_MIN_OPENING_CREATED: docs/reference/configuration.md');
  }
  const ahead = rows.filter(({ created }) => isDatedAhead(created, now()));
  if (ahead.length === 0) return ok(check, 'none in the future');
  return fault(check, `dated in the future: ${datesOf(ahead)}`, 'docs/runbooks/row-dated-ahead.md');
}

/**
 * Checks the wraps in one region. The region must have a wrap of every System Key, and must be able to decrypt it. The
 * region's configured KMS key must have made the wrap.
 */
async function wrapsIn(
  { inspector, keyArn, decrypts }: KmsRegionHealth,
  rows: readonly EnvelopeKeyRecord[],
): Promise<HealthCheck> {
  const { region } = inspector;
  const check = `system keys wraps ${region}`;
  const keks = rows.map((row) => ({ row, kek: kekIn(region, row) }));
  const missing = keks.filter(({ kek }) => kek === undefined);
  if (missing.length > 0)
    return fault(check, `no wrap by ${region}: ${datesOf(missing.map(({ row }) => row))}`, MAINTAIN);
  if (rows.length === 0) return ok(check, 'none yet');
  if (!decrypts) return skip(check, `the check kms ${region} calls has failed`);
  for (const { row, kek } of keks) {
    if (kek === undefined) continue;
    const isKey = parseKmsArn(kek.arn)?.kind === 'key';
    const outcome = await inspector.tryDecrypt(kek.encryptedKek, isKey ? kek.arn : undefined);
    if ('fault' in outcome) {
      const says = `the wrap of ${row.created} does not open: ${faultText(outcome.fault)}`;
      return fault(check, says, `${MAINTAIN}; until then, keep every KMS key of the other regions`);
    }
  }
  const others = keks.filter(({ kek }) => keyArn !== undefined && kek?.arn !== keyArn);
  if (others.length === 0) return ok(check, `${keks.length} by the configured key, all open`);
  const says = `by another KMS key than the configured one: ${datesOf(others.map(({ row }) => row))}`;
  return warn(check, says, 'keyfold maintain, before you disable the other key: docs/how-to/replace-a-kms-key.md');
}

function kekIn(region: string, row: EnvelopeKeyRecord): RegionalKek | undefined {
  return decodeKekEnvelope(row.encryptedKey)?.kmsKeks.find((kek) => kek.region === region);
}

/** Unwraps every System Key and checks the proof of its row. */
async function proofsOf(
  rows: readonly KeyRow[],
  { naming, kms, policy, now, keyRowProofs, regions }: SystemKeyChecks,
): Promise<HealthCheck> {
  const check = 'system keys proofs';
  let checked;
  try {
    const present = rows.filter(({ created }) => created === undefined || !isDatedAhead(created, now()));
    checked = await checkRows(present, { naming, kms, policy, now });
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    // Report this error only if Keyfold does not use AWS KMS. For AWS KMS, `wrapsIn` reports it.
    if (error.code === 'KmsMisconfigured' && regions.length === 0) {
      return fault(check, `a System Key does not open: ${error.message}`, KEY_SERVICE_FIX);
    }
    return skip(check, error.message);
  }
  const readable = checked.filter(({ row }) => !('unreadable' in row));
  const refused = readable.filter(({ state }) => state === 'refused');
  if (refused.length > 0) {
    const each = refused.map(({ row, why }) => `${row.created} (${why})`).join(', ');
    return fault(check, `do not hold: ${each}`, 'keyfold keys prove --dry-run, and docs/runbooks/rows-corrupted.md');
  }
  const without = readable.filter(({ state }) => state === 'provable');
  if (without.length === 0) return ok(check, `${readable.length} hold`);
  const says = `rows without a proof: ${datesOf(without.map(({ row }) => row))}`;
  const fix = 'keyfold keys prove: docs/how-to/authenticate-key-rows.md';
  return keyRowProofs === 'require' ? fault(check, says, fix) : warn(check, says, fix);
}
