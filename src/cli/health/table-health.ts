import { faultText, type CallFault } from '../../connections/call-fault.ts';
import type { Outcome } from '../../connections/inspected-calls.ts';
import type { QuotaInspector, TableDescription, TableInspector } from '../../maintenance/inspection.ts';
import type { TablePlace } from '../../maintenance/key-table.ts';
import { tableIn } from '../../metastore/table-name.ts';
import { failedCall, fault, ok, skip, warn, type HealthCheck } from './check.ts';
import { checkTableQuota } from './quota-health.ts';

/** The primary key of Asherah's key table. */
const SCHEMA = ['Id S HASH', 'Created N RANGE'];

export interface TableChecks {
  readonly place: TablePlace;
  /** Opens the inspector of the table, or of its replica in another region. */
  readonly open: (region?: string) => TableInspector;
  readonly openQuotas: (region: string) => Promise<QuotaInspector>;
  /** `KEYFOLD_REGION_SUFFIX`. */
  readonly regionSuffix: string | undefined;
}

export interface TableHealth {
  readonly checks: readonly HealthCheck[];
  readonly answers: boolean;
  /** Whether the table has at least one row, whatever its ID. */
  readonly holdsRows: boolean;
}

/** Checks the key table and its replicas. */
export async function checkTable(inspector: TableInspector, checks: TableChecks): Promise<TableHealth> {
  const { place, openQuotas } = checks;
  const described = await inspector.describe();
  if ('fault' in described) {
    return { checks: [undescribed('table', described.fault, place)], answers: false, holdsRows: false };
  }
  const { answer: table } = described;
  const settings = await settingsOf('table', table, inspector, place, openQuotas);
  const expiry = expiryOf(await inspector.expiryAttribute(), place);
  const replicas = await replicasOf(table, checks);
  return {
    checks: [schemaOf(table, place), ...settings, expiry, ...replicas],
    answers: true,
    holdsRows: table.rows > 0,
  };
}

/** Checks that time to live is off, so that DynamoDB deletes no rows. DynamoDB gives all replicas the same setting. */
function expiryOf(expiry: Outcome<string | undefined>, { table, region }: TablePlace): HealthCheck {
  const check = 'table expiry';
  if ('fault' in expiry) {
    const action = 'dynamodb:DescribeTimeToLive';
    return (
      failedCall({ check, action, service: `DynamoDB in ${region}` }, expiry.fault, false) ??
      warn(check, `${action} failed: ${faultText(expiry.fault)}`, 'docs/runbooks/table-lost.md')
    );
  }
  const { answer: attribute } = expiry;
  if (attribute === undefined) return ok(check, 'DynamoDB deletes no rows');
  return fault(
    check,
    `DynamoDB deletes rows when the time in their attribute ${attribute} has passed`,
    `aws dynamodb update-time-to-live --region ${region} --table-name ${table} ` +
      `--time-to-live-specification Enabled=false,AttributeName=${attribute}, and docs/runbooks/table-lost.md`,
  );
}

function undescribed(check: string, failed: CallFault, { table, region }: TablePlace): HealthCheck {
  const call = { check, action: 'dynamodb:DescribeTable', service: `DynamoDB in ${region}` };
  // Pass `true`, so that a missing permission is a fault. Keyfold itself never makes this call, but all other checks of
  // the table depend on it.
  const known = failedCall(call, failed, true);
  if (known !== undefined) return known;
  const isAbsent = failed.name === 'ResourceNotFoundException';
  return fault(
    check,
    isAbsent ? `there is no table ${table} in ${region}` : `${call.action} failed: ${faultText(failed)}`,
    isAbsent
      ? 'npm run deploy:table, or correct KEYFOLD_TABLE; docs/runbooks/table-lost.md'
      : 'docs/runbooks/table-lost.md',
  );
}

function schemaOf({ schema, status }: TableDescription, { table, region }: TablePlace): HealthCheck {
  const named = `${table} in ${region}`;
  if (schema.toSorted().join() !== SCHEMA.toSorted().join()) {
    return fault(
      'table',
      `${named} has the primary key ${schema.join(', ')}, not ${SCHEMA.join(', ')}`,
      'name the key table in KEYFOLD_TABLE',
    );
  }
  if (status === 'ACTIVE' || status === 'UPDATING') return ok('table', `${named}: ${status}`);
  return fault('table', `${named} is in the state ${status}`, 'docs/runbooks/table-lost.md');
}

/** Checks the settings that can differ between the replicas of a table. */
async function settingsOf(
  of: string,
  table: TableDescription,
  inspector: TableInspector,
  place: TablePlace,
  openQuotas: TableChecks['openQuotas'],
): Promise<HealthCheck[]> {
  const { table: name, region } = place;
  const command = `--region ${region} --table-name ${name}`;
  const { isDeletionProtected, encryption } = table;
  const [recovery, use] = await Promise.all([
    inspector.recoveryDays(),
    openQuotas(region).then((quotas) => checkTableQuota(of, table, place, quotas)),
  ]);
  return [
    recoveryOf(`${of} recovery`, recovery, region, command),
    isDeletionProtected
      ? ok(`${of} deletion`, 'protected')
      : warn(
          `${of} deletion`,
          'the table is not protected from deletion',
          `aws dynamodb update-table ${command} --deletion-protection-enabled`,
        ),
    encryptionOf(`${of} encryption`, encryption, region),
    ...use,
  ];
}

function recoveryOf(
  check: string,
  recovery: Outcome<number | undefined>,
  region: string,
  command: string,
): HealthCheck {
  if ('fault' in recovery) {
    const action = 'dynamodb:DescribeContinuousBackups';
    return (
      failedCall({ check, action, service: `DynamoDB in ${region}` }, recovery.fault, false) ??
      warn(check, `${action} failed: ${faultText(recovery.fault)}`, 'docs/runbooks/table-lost.md')
    );
  }
  if (recovery.answer !== undefined) return ok(check, `to any point of the last ${recovery.answer} days`);
  return warn(
    check,
    'point-in-time recovery is off, so lost rows cannot be restored',
    `aws dynamodb update-continuous-backups ${command} ` +
      '--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true',
  );
}

function encryptionOf(check: string, encryption: TableDescription['encryption'], region: string): HealthCheck {
  if (encryption === undefined) return ok(check, "DynamoDB's own key");
  const { keyArn, inaccessible } = encryption;
  if (!inaccessible) return ok(check, keyArn);
  return fault(
    check,
    `DynamoDB cannot use ${keyArn}, and deletes the table's data in time`,
    `aws kms enable-key --region ${region} --key-id ${keyArn}, or mend its policy, within seven days`,
  );
}

async function replicasOf(table: TableDescription, checks: TableChecks): Promise<HealthCheck[]> {
  const { place, regionSuffix } = checks;
  const others = table.replicas.filter(({ region }) => region !== place.region);
  if (others.length === 0) return [ok('table replicas', 'none')];
  const suffix =
    regionSuffix === undefined
      ? [
          fault(
            'table replicas',
            'the table has replicas, but keys have no region suffix: of two writes to one row, one is lost',
            'set KEYFOLD_REGION_SUFFIX to the region of each process: docs/explanation/global-tables.md',
          ),
        ]
      : [ok('table replicas', [place.region, ...others.map(({ region }) => region)].join(', '))];
  const each = await Promise.all(others.map((replica) => checkReplica(replica, checks)));
  return [...suffix, ...each.flat()];
}

async function checkReplica(
  { region, status }: TableDescription['replicas'][number],
  { place, open, openQuotas }: TableChecks,
): Promise<HealthCheck[]> {
  const of = `replica ${region}`;
  if (status !== 'ACTIVE' && status !== 'UPDATING')
    return [fault(of, `in the state ${status}`, 'docs/runbooks/replication-stopped.md')];
  const inspector = open(region);
  const there = { table: tableIn(region, place.table), region };
  const described = await inspector.describe();
  if ('fault' in described) return [undescribed(of, described.fault, there)];
  return [ok(of, status), ...(await settingsOf(of, described.answer, inspector, there, openQuotas))];
}

/** If the table does not respond, this is the result of each check that needs rows. */
export function tableSilent(check: string): HealthCheck {
  return skip(check, 'the table does not answer');
}
