import { expect, it } from 'vitest';
import { checkTable } from '../../../../src/cli/health/table-health.ts';
import type { HealthCheck } from '../../../../src/cli/health/check.ts';
import type { QuotaInspector, TableInspector } from '../../../../src/maintenance/inspection.ts';

const TABLE = { schema: ['Id S HASH', 'Created N RANGE'], status: 'ACTIVE', rows: 0, replicas: [], capacity: {} };

/** Checks a table with this description. Every call that does not describe the table fails with `name`. */
async function checksOf(answer: object, name: string, regionSuffix?: string): Promise<readonly HealthCheck[]> {
  const inspector = {
    describe: async () => ({ answer, latencyMs: 1 }),
    recoveryDays: async () => ({ fault: { name } }),
    expiryAttribute: async () => ({ fault: { name } }),
  } as unknown as TableInspector;
  const quotas = { quota: async () => ({ fault: { name } }) } as unknown as QuotaInspector;
  const place = { table: 'EncryptionKey', region: 'us-west-2' };
  const open = (): TableInspector => inspector;
  return (await checkTable(inspector, { place, open, openQuotas: async () => quotas, regionSuffix })).checks;
}

it.for([
  ['TableNotFoundException', 'docs/runbooks/table-lost.md'],
  ['AccessDeniedException', 'allow dynamodb:'],
] as const)('the health of a DynamoDB table has a warning for each call that fails with %s', async ([name, fix]) => {
  const checks = await checksOf(TABLE, name);
  for (const [check, action] of [
    ['table recovery', 'dynamodb:DescribeContinuousBackups'],
    ['table expiry', 'dynamodb:DescribeTimeToLive'],
  ]) {
    expect(checks.find((each) => each.check === check)).toEqual({
      check,
      state: 'warn',
      says: `${action} failed: ${name}`,
      fix: expect.stringContaining(fix) as string,
    });
  }
});

it.for([
  ['ACTIVE', 'ok'],
  ['UPDATING', 'ok'],
  ['CREATING', 'fault'],
  ['ARCHIVED', 'fault'],
] as const)('the health of a DynamoDB table and of its replica in the state %s is "%s"', async ([status, state]) => {
  const checks = await checksOf({ ...TABLE, status, replicas: [{ region: 'us-east-1', status }] }, 'x', 'us-west-2');
  const says = expect.stringContaining(status) as string;
  for (const check of ['table', 'replica us-east-1'])
    expect(checks.find((each) => each.check === check)).toMatchObject({ check, state, says });
});
