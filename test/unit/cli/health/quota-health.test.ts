import { expect, it } from 'vitest';
import type { HealthCheck } from '../../../../src/cli/health/check.ts';
import { checkKmsQuota, checkTableQuota } from '../../../../src/cli/health/quota-health.ts';
import type { Outcome } from '../../../../src/connections/inspected-calls.ts';
import type { Quota, QuotaInspector, TableDescription, UsageMetric } from '../../../../src/maintenance/inspection.ts';

const METRIC: UsageMetric = { namespace: 'AWS/Usage', name: 'CallCount', dimensions: { Service: 'KMS' } };
const TABLE = 'arn:aws:dynamodb:us-west-2:111122223333:table/Keys';
const DENIED = { fault: { name: 'AccessDeniedException' } };
const UNKNOWN = 'Service Quotas does not give the quota, or no metric of its use';

/** An inspector that remembers what it was asked for. */
function inspectorOf(
  quota: Outcome<Quota>,
  peak: Outcome<number | undefined>,
): { inspector: QuotaInspector; asked: unknown[] } {
  const asked: unknown[] = [];
  const inspector: QuotaInspector = {
    quota: async (name) => (asked.push(name), quota),
    peakRate: async (metric) => (asked.push(metric), peak),
  };
  return { inspector, asked };
}

const answered = <T>(answer: T): Outcome<T> => ({ answer, latencyMs: 1 });

it.for<[number | undefined, string, string]>([
  [undefined, 'ok', 'at most 0 of 10000'],
  [0.123_45, 'ok', 'at most 0.123 of 10000'],
  [99.94, 'ok', 'at most 99.9 of 10000'],
  [123.4, 'ok', 'at most 123 of 10000'],
  [1234.5, 'ok', 'at most 1235 of 10000'],
  [7999, 'ok', 'at most 7999 of 10000'],
  [8000, 'warn', 'at most 8000 of 10000'],
])('for a peak rate of %s and a quota of 10000, checkKmsQuota returns the state %s', async ([rate, state, says]) => {
  const { inspector, asked } = inspectorOf(answered({ value: 10_000, metric: METRIC }), answered(rate));
  expect(await checkKmsQuota('us-west-2', inspector)).toEqual({
    check: 'kms us-west-2 quota',
    state,
    says: `${says} calls a second in the last 24 h`,
    ...(state === 'warn' && { fix: 'docs/runbooks/kms-throttles.md' }),
  });
  expect(asked).toEqual([{ service: 'kms', code: 'L-6E3AF000' }, METRIC]);
});

it.for<[string, Outcome<Quota>, Outcome<number>, string]>([
  ['the quota is unknown', answered({ value: undefined, metric: METRIC }), DENIED, UNKNOWN],
  ['the metric is unknown', answered({ value: 1, metric: undefined }), DENIED, UNKNOWN],
  [
    'AWS refuses to return the quota',
    DENIED,
    DENIED,
    'could not look: servicequotas:GetServiceQuota failed: AccessDeniedException',
  ],
  [
    'AWS refuses to return the metric',
    answered({ value: 1, metric: METRIC }),
    DENIED,
    'could not look: cloudwatch:GetMetricStatistics failed: AccessDeniedException',
  ],
])('checkKmsQuota is skipped if %s', async ([, quota, peak, says]) => {
  const { inspector } = inspectorOf(quota, peak);
  expect(await checkKmsQuota('us-west-2', inspector)).toEqual({ check: 'kms us-west-2 quota', state: 'skip', says });
});

function tableQuota(capacity: TableDescription['capacity'], inspector: QuotaInspector): Promise<HealthCheck[]> {
  return checkTableQuota('table', { capacity } as TableDescription, { table: TABLE, region: 'us-west-2' }, inspector);
}

const consumed = (name: string): UsageMetric => ({
  namespace: 'AWS/DynamoDB',
  name,
  dimensions: { TableName: 'Keys' },
});

const usedUp = (what: string, code: string): HealthCheck => ({
  check: `table ${what}`,
  state: 'warn',
  says: 'at most 80 of 100 units a second in the last 24 h',
  fix:
    'find the process that makes the calls, or aws service-quotas request-service-quota-increase ' +
    `--service-code dynamodb --region us-west-2 --quota-code ${code}`,
});

it("checkTableQuota compares the use with the account's quota if the table has no limit of its own", async () => {
  const { inspector, asked } = inspectorOf(answered({ value: 100, metric: undefined }), answered(80));
  expect(await tableQuota({ reads: undefined, writes: undefined }, inspector)).toEqual([
    usedUp('reads', 'L-CF0CBE56'),
    usedUp('writes', 'L-AB614373'),
  ]);
  expect(asked).toEqual([
    { service: 'dynamodb', code: 'L-CF0CBE56' },
    { service: 'dynamodb', code: 'L-AB614373' },
    consumed('ConsumedReadCapacityUnits'),
    consumed('ConsumedWriteCapacityUnits'),
  ]);
});

it('checkTableQuota compares the use with a limit of the table itself', async () => {
  const { inspector, asked } = inspectorOf(DENIED, answered(9));
  expect(await tableQuota({ reads: 10, writes: 20 }, inspector)).toEqual([
    {
      check: 'table reads',
      state: 'warn',
      says: 'at most 9 of 10 units a second in the last 24 h',
      fix:
        `raise the table's own limit: aws dynamodb update-table --region us-west-2 --table-name ${TABLE} ` +
        'with --on-demand-throughput or --provisioned-throughput',
    },
    { check: 'table writes', state: 'ok', says: 'at most 9 of 20 units a second in the last 24 h' },
  ]);
  expect(asked).toEqual([consumed('ConsumedReadCapacityUnits'), consumed('ConsumedWriteCapacityUnits')]);
});

it('checkTableQuota is skipped if the quota is unknown or AWS refuses to return it', async () => {
  const none = { reads: undefined, writes: undefined };
  const unknown = inspectorOf(answered({ value: undefined, metric: METRIC }), answered(1)).inspector;
  expect((await tableQuota(none, unknown)).map(({ state, says }) => [state, says])).toEqual([
    ['skip', UNKNOWN],
    ['skip', UNKNOWN],
  ]);
  const refused = inspectorOf(DENIED, answered(1)).inspector;
  const says = 'could not look: servicequotas:GetServiceQuota failed: AccessDeniedException';
  expect((await tableQuota(none, refused)).map((each) => [each.state, each.says])).toEqual([
    ['skip', says],
    ['skip', says],
  ]);
});
