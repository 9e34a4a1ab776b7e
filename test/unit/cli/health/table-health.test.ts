import { expect, it } from 'vitest';
import { checkTable, tableSilent, type TableHealth } from '../../../../src/cli/health/table-health.ts';
import type { HealthCheck } from '../../../../src/cli/health/check.ts';
import type { QuotaInspector, TableDescription, TableInspector } from '../../../../src/maintenance/inspection.ts';

const SCHEMA = ['Id S HASH', 'Created N RANGE'];
const HEALTHY: TableDescription = {
  arn: 'arn:aws:dynamodb:us-west-2:111122223333:table/Keys',
  status: 'ACTIVE',
  schema: SCHEMA,
  isDeletionProtected: true,
  encryption: undefined,
  capacity: { reads: 10, writes: 10 },
  rows: 1,
  replicas: [],
};
const LOST = 'docs/runbooks/table-lost.md';
const allow = (action: string): string => `allow ${action} in the role's policy and in the policy of the key or table`;

const answered = <T>(answer: T): { answer: T; latencyMs: number } => ({ answer, latencyMs: 1 });
const failed = (name: string): { fault: { name: string } } => ({ fault: { name } });

/** What AWS answers for a table or for one of its replicas. */
interface Answers {
  readonly described?: object;
  readonly recovery?: object;
  readonly expiry?: object;
}

function inspectorOf({ described, recovery, expiry }: Answers): TableInspector {
  return {
    describe: async () => described ?? answered(HEALTHY),
    recoveryDays: async () => recovery ?? answered(35),
    expiryAttribute: async () => expiry ?? answered(undefined),
  } as unknown as TableInspector;
}

/** The quotas of a region. The used capacity depends on the region. */
async function openQuotas(region: string): Promise<QuotaInspector> {
  return { peakRate: async () => answered(region === 'us-west-2' ? 1 : 2) } as unknown as QuotaInspector;
}

/** Checks a table whose replica is in us-east-1. */
function healthOf(answers: Answers, replica: Answers = {}, regionSuffix?: string): Promise<TableHealth> {
  const open = (region?: string): TableInspector => inspectorOf(region === 'us-east-1' ? replica : {});
  const place = { table: 'Keys', region: 'us-west-2' };
  return checkTable(inspectorOf(answers), { place, open, openQuotas, regionSuffix });
}

const settingsOf = (of: string, units: number): HealthCheck[] => [
  { check: `${of} recovery`, state: 'ok', says: 'to any point of the last 35 days' },
  { check: `${of} deletion`, state: 'ok', says: 'protected' },
  { check: `${of} encryption`, state: 'ok', says: "DynamoDB's own key" },
  { check: `${of} reads`, state: 'ok', says: `at most ${units} of 10 units a second in the last 24 h` },
  { check: `${of} writes`, state: 'ok', says: `at most ${units} of 10 units a second in the last 24 h` },
];
const EXPIRY = { check: 'table expiry', state: 'ok', says: 'DynamoDB deletes no rows' };
const CHECKS = [
  { check: 'table', state: 'ok', says: 'Keys in us-west-2: ACTIVE' },
  ...settingsOf('table', 1),
  EXPIRY,
  { check: 'table replicas', state: 'ok', says: 'none' },
];

/** The checks of a healthy table. Each check in `changed` replaces the one of the same name. */
const checksWith = (...changed: HealthCheck[]): object[] =>
  CHECKS.map((each) => changed.find(({ check }) => check === each.check) ?? each);

it.for([0, 1])('the health of a DynamoDB table with %i rows names each check', async (rows) => {
  const health = await healthOf({ described: answered({ ...HEALTHY, rows }) });
  expect(health).toEqual({ checks: CHECKS, answers: true, holdsRows: rows > 0 });
});

it('the health of a DynamoDB table is good in whichever order DynamoDB lists the attributes of the primary key', async () => {
  const described = answered({ ...HEALTHY, schema: SCHEMA.toReversed() });
  expect((await healthOf({ described })).checks).toEqual(CHECKS);
});

it.for<[string, Partial<TableDescription>, HealthCheck]>([
  [
    'has another primary key',
    { schema: ['pk S HASH', 'sk S RANGE'] },
    {
      check: 'table',
      state: 'fault',
      says: 'Keys in us-west-2 has the primary key pk S HASH, sk S RANGE, not Id S HASH, Created N RANGE',
      fix: 'name the key table in KEYFOLD_TABLE',
    },
  ],
  ['is being updated', { status: 'UPDATING' }, { check: 'table', state: 'ok', says: 'Keys in us-west-2: UPDATING' }],
  [
    'is being created',
    { status: 'CREATING' },
    { check: 'table', state: 'fault', says: 'Keys in us-west-2 is in the state CREATING', fix: LOST },
  ],
  [
    'is not protected from deletion',
    { isDeletionProtected: false },
    {
      check: 'table deletion',
      state: 'warn',
      says: 'the table is not protected from deletion',
      fix: 'aws dynamodb update-table --region us-west-2 --table-name Keys --deletion-protection-enabled',
    },
  ],
  [
    'is encrypted by a KMS key of its own',
    { encryption: { keyArn: 'KEY', inaccessible: false } },
    { check: 'table encryption', state: 'ok', says: 'KEY' },
  ],
  [
    'cannot use its KMS key',
    { encryption: { keyArn: 'KEY', inaccessible: true } },
    {
      check: 'table encryption',
      state: 'fault',
      says: "DynamoDB cannot use KEY, and deletes the table's data in time",
      fix: 'aws kms enable-key --region us-west-2 --key-id KEY, or mend its policy, within seven days',
    },
  ],
])('the health of a DynamoDB table says that the table %s', async ([, change, changed]) => {
  const { checks } = await healthOf({ described: answered({ ...HEALTHY, ...change }) });
  expect(checks).toEqual(checksWith(changed));
});

const RECOVERY = 'dynamodb:DescribeContinuousBackups';
const TTL = 'dynamodb:DescribeTimeToLive';

it.for<[string, Answers, HealthCheck]>([
  [
    'has a warning if point-in-time recovery is off',
    { recovery: answered(undefined) },
    {
      check: 'table recovery',
      state: 'warn',
      says: 'point-in-time recovery is off, so lost rows cannot be restored',
      fix:
        'aws dynamodb update-continuous-backups --region us-west-2 --table-name Keys ' +
        '--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true',
    },
  ],
  [
    'has a warning if the role may not call DescribeContinuousBackups',
    { recovery: failed('AccessDeniedException') },
    { check: 'table recovery', state: 'warn', says: `${RECOVERY} failed: AccessDeniedException`, fix: allow(RECOVERY) },
  ],
  [
    'has a warning if DescribeContinuousBackups fails',
    { recovery: failed('TableNotFoundException') },
    { check: 'table recovery', state: 'warn', says: `${RECOVERY} failed: TableNotFoundException`, fix: LOST },
  ],
  [
    'has a fault if DynamoDB deletes rows when the time in one of their attributes has passed',
    { expiry: answered('At') },
    {
      check: 'table expiry',
      state: 'fault',
      says: 'DynamoDB deletes rows when the time in their attribute At has passed',
      fix:
        'aws dynamodb update-time-to-live --region us-west-2 --table-name Keys ' +
        `--time-to-live-specification Enabled=false,AttributeName=At, and ${LOST}`,
    },
  ],
  [
    'has a warning if the role may not call DescribeTimeToLive',
    { expiry: failed('AccessDeniedException') },
    { check: 'table expiry', state: 'warn', says: `${TTL} failed: AccessDeniedException`, fix: allow(TTL) },
  ],
  [
    'has a warning if DescribeTimeToLive fails',
    { expiry: failed('TableNotFoundException') },
    { check: 'table expiry', state: 'warn', says: `${TTL} failed: TableNotFoundException`, fix: LOST },
  ],
])('the health of a DynamoDB table %s', async ([, answers, changed]) => {
  expect((await healthOf(answers)).checks).toEqual(checksWith(changed));
});

it.for([
  [
    'AccessDeniedException',
    'dynamodb:DescribeTable failed: AccessDeniedException',
    allow('dynamodb:DescribeTable'),
    'dynamodb:DescribeTable failed: AccessDeniedException',
  ],
  [
    'ResourceNotFoundException',
    'there is no table Keys in us-west-2',
    `npm run deploy:table, or correct KEYFOLD_TABLE; ${LOST}`,
    'there is no table Keys in us-east-1',
  ],
  [
    'ValidationException',
    'dynamodb:DescribeTable failed: ValidationException',
    LOST,
    'dynamodb:DescribeTable failed: ValidationException',
  ],
] as const)(
  'the health of a DynamoDB table has a fault if DescribeTable fails with %s',
  async ([name, says, fix, saysOfReplica]) => {
    expect(await healthOf({ described: failed(name) })).toEqual({
      checks: [{ check: 'table', state: 'fault', says, fix }],
      answers: false,
      holdsRows: false,
    });
    const replicas = [{ region: 'us-east-1', status: 'ACTIVE' }];
    const { checks } = await healthOf(
      { described: answered({ ...HEALTHY, replicas }) },
      { described: failed(name) },
      'x',
    );
    expect(checks.at(-1)).toEqual({ check: 'replica us-east-1', state: 'fault', says: saysOfReplica, fix });
  },
);

it('each check that gets no answer from DynamoDB tells the operator to check the route to DynamoDB in the region', async () => {
  const silent = failed('TimeoutError');
  const state = 'fault';
  const fix = 'check the route to DynamoDB in us-west-2, and the endpoint in the settings';
  expect((await healthOf({ described: silent })).checks).toEqual([
    { check: 'table', state, says: 'dynamodb:DescribeTable failed: TimeoutError', fix },
  ]);
  expect((await healthOf({ recovery: silent, expiry: silent })).checks).toEqual(
    checksWith(
      { check: 'table recovery', state, says: `${RECOVERY} failed: TimeoutError`, fix },
      { check: 'table expiry', state, says: `${TTL} failed: TimeoutError`, fix },
    ),
  );
});

it('the health of a DynamoDB table shows the settings of each replica, read in the region of the replica', async () => {
  const replicas = ['us-west-2', 'us-east-1'].map((region) => ({ region, status: 'UPDATING' }));
  const described = answered({ ...HEALTHY, replicas });
  expect((await healthOf({ described }, {}, 'us-west-2')).checks.slice(7)).toEqual([
    { check: 'table replicas', state: 'ok', says: 'us-west-2, us-east-1' },
    { check: 'replica us-east-1', state: 'ok', says: 'UPDATING' },
    ...settingsOf('replica us-east-1', 2),
  ]);
  const off = await healthOf({ described }, { recovery: answered(undefined) });
  expect(off.checks.slice(7, 10)).toEqual([
    {
      check: 'table replicas',
      state: 'fault',
      says: 'the table has replicas, but keys have no region suffix: of two writes to one row, one is lost',
      fix: 'set KEYFOLD_REGION_SUFFIX to the region of each process: docs/explanation/global-tables.md',
    },
    { check: 'replica us-east-1', state: 'ok', says: 'UPDATING' },
    {
      check: 'replica us-east-1 recovery',
      state: 'warn',
      says: 'point-in-time recovery is off, so lost rows cannot be restored',
      fix:
        'aws dynamodb update-continuous-backups --region us-east-1 --table-name Keys ' +
        '--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true',
    },
  ]);
});

it('the health of a DynamoDB table has a fault for a replica that has stopped', async () => {
  const replicas = [{ region: 'us-east-1', status: 'ARCHIVED' }];
  const { checks } = await healthOf({ described: answered({ ...HEALTHY, replicas }) }, {}, 'us-west-2');
  const fix = 'docs/runbooks/replication-stopped.md';
  const says = 'in the state ARCHIVED';
  expect(checks.slice(8)).toEqual([{ check: 'replica us-east-1', state: 'fault', says, fix }]);
});

it('a check of rows is skipped if the table does not respond', () => {
  expect(tableSilent('erasures')).toEqual({ check: 'erasures', state: 'skip', says: 'the table does not answer' });
});
