import { expect, it } from 'vitest';
import { checkTable } from '../../../../src/cli/health/table-health.ts';
import type { QuotaInspector, TableInspector } from '../../../../src/maintenance/inspection.ts';

const TABLE = { schema: ['Id S HASH', 'Created N RANGE'], status: 'ACTIVE', rows: 0, replicas: [], capacity: {} };

it.for([
  ['TableNotFoundException', 'docs/runbooks/table-lost.md'],
  ['AccessDeniedException', 'allow dynamodb:'],
] as const)('the health of a DynamoDB table has a warning for each call that fails with %s', async ([name, fix]) => {
  const inspector = {
    describe: async () => ({ answer: TABLE, latencyMs: 1 }),
    recoveryDays: async () => ({ fault: { name } }),
    expiryAttribute: async () => ({ fault: { name } }),
  } as unknown as TableInspector;
  const quotas = { quota: async () => ({ fault: { name } }) } as unknown as QuotaInspector;
  const place = { table: 'EncryptionKey', region: 'us-west-2' };
  const open = (): TableInspector => inspector;
  const health = await checkTable(inspector, { place, open, openQuotas: async () => quotas, regionSuffix: undefined });
  for (const [check, action] of [
    ['table recovery', 'dynamodb:DescribeContinuousBackups'],
    ['table expiry', 'dynamodb:DescribeTimeToLive'],
  ]) {
    expect(health.checks.find((each) => each.check === check)).toEqual({
      check,
      state: 'warn',
      says: `${action} failed: ${name}`,
      fix: expect.stringContaining(fix) as string,
    });
  }
});
