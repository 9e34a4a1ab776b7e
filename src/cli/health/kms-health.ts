import type { Outcome } from '../../connections/inspected-calls.ts';
import type { KmsInspector, KmsKeyDescription, QuotaInspector } from '../../maintenance/inspection.ts';
import { faultText, type CallFault } from '../../connections/call-fault.ts';
import { failedCall, fault, ok, skip, warn, type HealthCheck } from './check.ts';
import { DEFAULT_TIMEOUTS } from '../../kms/aws-kms.ts';
import { checkKmsQuota } from './quota-health.ts';

/** The page for a key in a state that `PAGE_OF_STATE` does not contain. */
const KEY_PAGE = 'docs/runbooks/kms-key-disabled.md';
const MATERIAL_PAGE = 'docs/runbooks/kms-material-expired.md';
const PAGE_OF_STATE: Readonly<Record<string, string>> = {
  PendingImport: MATERIAL_PAGE,
  Unavailable: 'docs/how-to/use-imported-material-or-key-stores.md',
};

/** Imported material that expires sooner than this must be imported again. */
const MATERIAL_LEFT_MS = 30 * 86_400_000;

/** Above this latency, a region is close to the timeout. */
const SLOW_MS = 1000;

/** The results of the checks of one KMS region, with facts about its key that other checks need. */
export interface KmsRegionHealth {
  readonly inspector: KmsInspector;
  readonly checks: readonly HealthCheck[];
  /** The ARN of the KMS key that the configuration names. Undefined if it is unknown. */
  readonly keyArn: string | undefined;
  /** Whether the region can decrypt with the configured key. */
  readonly decrypts: boolean;
}

/** Checks the configured KMS key of one region, and the region's quota. */
export async function checkKmsRegion(
  inspector: KmsInspector,
  openQuotas: (region: string) => Promise<QuotaInspector>,
  nowMs: number,
): Promise<KmsRegionHealth> {
  const { region } = inspector;
  const [attempts, described, quota] = await Promise.all([
    inspector.tryActions(),
    inspector.describe(),
    openQuotas(region).then((quotas) => checkKmsQuota(region, quotas)),
  ]);
  const key = 'answer' in described ? described.answer : undefined;
  const rotation = key && (await inspector.rotation(key.arn));
  return {
    inspector,
    checks: [
      callsOf(inspector, attempts),
      keyOf(inspector, described, nowMs),
      rotationOf(inspector, key, rotation),
      quota,
    ],
    keyArn: key?.arn,
    decrypts: attempts.Decrypt !== undefined && 'answer' in attempts.Decrypt,
  };
}

function callsOf(inspector: KmsInspector, attempts: Awaited<ReturnType<KmsInspector['tryActions']>>): HealthCheck {
  const { region } = inspector;
  const check = `kms ${region} calls`;
  const entries = Object.entries(attempts);
  for (const [name, outcome] of entries) {
    if ('answer' in outcome) continue;
    const call = { check, action: `kms:${name}`, service: `KMS in ${region}` };
    return (
      failedCall(call, outcome.fault, true) ??
      fault(check, `kms:${name} failed: ${faultText(outcome.fault)}`, fixOf(inspector, outcome.fault))
    );
  }
  const times = entries.map(([name, outcome]) => [name, 'latencyMs' in outcome ? outcome.latencyMs : 0] as const);
  const says = times.map(([name, ms]) => `${name} ${Math.ceil(ms)} ms`).join(', ');
  const longestMs = Math.max(...times.map(([, ms]) => ms));
  if (longestMs < SLOW_MS) return ok(check, says);
  const { requestTimeoutMs } = DEFAULT_TIMEOUTS;
  const finding = longestMs < requestTimeoutMs ? warn : fault;
  return finding(
    check,
    says,
    `check the route to KMS in ${region}: Keyfold gives up on a call after ${requestTimeoutMs} ms`,
  );
}

/** What an operator should do if a KMS key refuses a call. */
function fixOf({ region, keyArn }: KmsInspector, { name }: CallFault): string {
  switch (name) {
    case 'NotFoundException':
      return `create the key and its alias in ${region}, or correct ${region} in KEYFOLD_KMS_KEYS`;
    case 'DisabledException':
      return enableKey(region, keyArn);
    case 'KMSInvalidStateException':
      return `aws kms describe-key --region ${region} --key-id ${keyArn}, then the runbook for its state: docs/runbooks/README.md`;
    default:
      return 'docs/how-to/troubleshoot.md#kmsmisconfigured';
  }
}

function enableKey(region: string, keyArn: string): string {
  return `aws kms enable-key --region ${region} --key-id ${keyArn}, and docs/runbooks/kms-key-disabled.md`;
}

function keyOf(inspector: KmsInspector, described: Outcome<KmsKeyDescription>, nowMs: number): HealthCheck {
  const { region, keyArn } = inspector;
  const check = `kms ${region} key`;
  if ('fault' in described) {
    const call = { check, action: 'kms:DescribeKey', service: `KMS in ${region}` };
    return (
      failedCall(call, described.fault, false) ??
      fault(check, `kms:DescribeKey failed: ${faultText(described.fault)}`, fixOf(inspector, described.fault))
    );
  }
  const { arn, state, deletedAtMs, materialEndsAtMs, encrypts } = described.answer;
  const named = arn === keyArn ? arn : `${keyArn.replace(/.*:/, '')} is ${arn}`;
  if (state === 'PendingDeletion') {
    const when = deletedAtMs === undefined ? '' : ` on ${new Date(deletedAtMs).toISOString()}`;
    const cancel = `aws kms cancel-key-deletion --region ${region} --key-id ${arn}`;
    return fault(
      check,
      `${named}: KMS deletes it${when}`,
      `${cancel}, then enable-key: docs/runbooks/kms-key-deletion.md`,
    );
  }
  if (state === 'Disabled') return fault(check, `${named}: disabled`, enableKey(region, arn));
  if (state !== 'Enabled') return fault(check, `${named}: in the state ${state}`, PAGE_OF_STATE[state] ?? KEY_PAGE);
  if (!encrypts)
    return fault(check, `${named}: it is not a symmetric key that encrypts`, `name another key in KEYFOLD_KMS_KEYS`);
  if (materialEndsAtMs !== undefined && materialEndsAtMs - nowMs < MATERIAL_LEFT_MS) {
    const says = `${named}: its material expires on ${new Date(materialEndsAtMs).toISOString()}`;
    return warn(check, says, `import the same material again: ${MATERIAL_PAGE}`);
  }
  return ok(check, `${named}: enabled`);
}

function rotationOf(
  { region }: KmsInspector,
  key: KmsKeyDescription | undefined,
  rotation: Outcome<number | undefined> | undefined,
): HealthCheck {
  const check = `kms ${region} rotation`;
  if (key === undefined || rotation === undefined) return skip(check, 'the key is unknown');
  if (key.origin !== 'AWS_KMS') return ok(check, `KMS does not rotate keys of the origin ${key.origin}`);
  if (key.state !== 'Enabled') return skip(check, `the key is in the state ${key.state}`);
  if ('fault' in rotation) {
    const action = 'kms:GetKeyRotationStatus';
    return (
      failedCall({ check, action, service: `KMS in ${region}` }, rotation.fault, false) ??
      warn(check, `${action} failed: ${faultText(rotation.fault)}`, 'docs/how-to/troubleshoot.md#kmsmisconfigured')
    );
  }
  if (rotation.answer !== undefined) return ok(check, `every ${rotation.answer} days`);
  return warn(
    check,
    'KMS does not rotate the key',
    `aws kms enable-key-rotation --region ${region} --key-id ${key.arn}`,
  );
}
