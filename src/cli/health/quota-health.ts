import { faultText, type CallFault } from '../../connections/call-fault.ts';
import type { QuotaInspector, QuotaName, TableDescription, UsageMetric } from '../../maintenance/inspection.ts';
import type { TablePlace } from '../../maintenance/key-table.ts';
import { nameOfTable } from '../../metastore/table-name.ts';
import { ok, skip, warn, type HealthCheck } from './check.ts';

/** The quotas that the doctor checks, with their codes from the AWS documentation. */
const KMS_CALLS: QuotaName = { service: 'kms', code: 'L-6E3AF000' };
const TABLE_UNITS = {
  reads: { service: 'dynamodb', code: 'L-CF0CBE56' },
  writes: { service: 'dynamodb', code: 'L-AB614373' },
} as const satisfies Record<string, QuotaName>;
const CONSUMED = { reads: 'ConsumedReadCapacityUnits', writes: 'ConsumedWriteCapacityUnits' } as const;

/**
 * If usage reaches this share of a quota, an operator should act. Usage is averaged over a minute, so it may be higher
 * in single seconds.
 */
const MAX_SHARE = 0.8;

/** Compares the quota for KMS's cryptographic operations with its use by all callers in the account and the region. */
export async function checkKmsQuota(region: string, inspector: QuotaInspector): Promise<HealthCheck> {
  const check = `kms ${region} quota`;
  const quota = await inspector.quota(KMS_CALLS);
  if ('fault' in quota) return unseen(check, 'servicequotas:GetServiceQuota', quota.fault);
  const { value, metric } = quota.answer;
  if (value === undefined || metric === undefined) return unknown(check);
  return useOf(check, inspector, { metric, limit: value, unit: 'calls', fix: 'docs/runbooks/kms-throttles.md' });
}

/**
 * Compares the capacity that a table used with the table's own limit. If the table has no limit, the function uses the
 * account's quota per table instead.
 */
export async function checkTableQuota(
  of: string,
  { capacity }: TableDescription,
  { table, region }: TablePlace,
  inspector: QuotaInspector,
): Promise<HealthCheck[]> {
  const checkOne = async (what: 'reads' | 'writes'): Promise<HealthCheck> => {
    const check = `${of} ${what}`;
    const metric = { namespace: 'AWS/DynamoDB', name: CONSUMED[what], dimensions: { TableName: nameOfTable(table) } };
    const own = capacity[what];
    if (own !== undefined) {
      const command = `aws dynamodb update-table --region ${region} --table-name ${table}`;
      const fix = `raise the table's own limit: ${command} with --on-demand-throughput or --provisioned-throughput`;
      return useOf(check, inspector, { metric, limit: own, unit: 'units', fix });
    }
    const quota = await inspector.quota(TABLE_UNITS[what]);
    if ('fault' in quota) return unseen(check, 'servicequotas:GetServiceQuota', quota.fault);
    const { value } = quota.answer;
    if (value === undefined) return unknown(check);
    const raise = 'aws service-quotas request-service-quota-increase --service-code dynamodb';
    const fix = `find the process that makes the calls, or ${raise} --region ${region} --quota-code ${TABLE_UNITS[what].code}`;
    return useOf(check, inspector, { metric, limit: value, unit: 'units', fix });
  };
  return Promise.all([checkOne('reads'), checkOne('writes')]);
}

interface Limit {
  readonly metric: UsageMetric;
  /** The limit per second. */
  readonly limit: number;
  readonly unit: string;
  readonly fix: string;
}

async function useOf(check: string, inspector: QuotaInspector, of: Limit): Promise<HealthCheck> {
  const { metric, limit, unit, fix } = of;
  const peak = await inspector.peakRate(metric);
  if ('fault' in peak) return unseen(check, 'cloudwatch:GetMetricStatistics', peak.fault);
  const rate = peak.answer ?? 0;
  const says = `at most ${rounded(rate)} of ${rounded(limit)} ${unit} a second in the last 24 h`;
  return rate < limit * MAX_SHARE ? ok(check, says) : warn(check, says, fix);
}

/** Rounds a rate for display. Three digits are enough to compare it with its limit. */
function rounded(rate: number): string {
  return String(rate < 100 ? Number(rate.toPrecision(3)) : Math.round(rate));
}

function unknown(check: string): HealthCheck {
  return skip(check, 'Service Quotas does not give the quota, or no metric of its use');
}

/**
 * The result if a call for quotas or metrics failed. Only the doctor makes these calls, so operators need not add a
 * missing permission.
 */
function unseen(check: string, action: string, failed: CallFault): HealthCheck {
  return skip(check, `could not look: ${action} failed: ${faultText(failed)}`);
}
