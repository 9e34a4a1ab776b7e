import type { AppConfig } from '../config/app-config.ts';
import { cryptoPolicy } from '../envelope/crypto-policy.ts';
import { KeyfoldError } from '../errors.ts';
import { dueErasures } from '../maintenance/erasure-table.ts';
import type { KeyRow, TablePlace } from '../maintenance/key-table.ts';
import type { QuotaInspector, TableInspector } from '../maintenance/inspection.ts';
import { replicaIn } from '../metastore/dynamodb-options.ts';
import { KeyNaming } from '../records/ids.ts';
import { fault, ok, skip, warn, type HealthCheck } from './health/check.ts';
import { faultText } from '../connections/call-fault.ts';
import { checkKmsRegion, type KmsRegionHealth } from './health/kms-health.ts';
import { checkCalls } from './health/call-health.ts';
import { checkSystemKeys } from './health/system-key-health.ts';
import { checkDatabase, DATABASE_PAGE, type DatabaseHealth } from './health/database-health.ts';
import { checkTable, tableSilent, type TableHealth } from './health/table-health.ts';
import { checkTls } from './health/tls-health.ts';
import { minimumsOf } from './key-view.ts';
import { MAX_CLOCK_OFFSET_MS } from './table-clock.ts';
import { formatTable, isoOf, jsonLines } from './text.ts';
import { EXIT, type CliDependencies, type Colour } from './dependencies.ts';

const VAULT_FIX = 'docs/how-to/use-vault.md#if-something-goes-wrong';
const HSM_FIX = 'docs/how-to/use-an-hsm.md#if-something-goes-wrong';

/** The exit code of `keyfold doctor` if at least one check warns and no check finds a fault. */
const WARNED = 3;

/** Credentials that expire sooner than this may expire during a long command. */
const CREDENTIALS_LEFT_MS = 5 * 60_000;

/**
 * Runs `keyfold doctor`: all checks, one line each.
 * @param readConfig reads the settings as a function of the service does
 * @returns the exit code: 0 if all is well, 1 after a fault, 2 if a setting is wrong, 3 if there are only warnings
 */
export async function doctor(
  readConfig: () => Promise<AppConfig>,
  { json }: { readonly json: boolean },
  dependencies: CliDependencies,
): Promise<number> {
  const settings = await settingsOrFaults(readConfig, dependencies);
  const isUsable = 'config' in settings;
  const checks = isUsable ? await allChecks(settings, dependencies) : settings.faults;
  print(checks, json, dependencies);
  if (!isUsable) return EXIT.usage;
  if (checks.some(({ state }) => state === 'fault')) return EXIT.failed;
  return checks.some(({ state }) => state === 'warn') ? WARNED : EXIT.ok;
}

/** The service's configuration, and the location of its table. */
interface ServiceSettings {
  readonly config: AppConfig;
  readonly place: TablePlace;
}

async function settingsOrFaults(
  readConfig: () => Promise<AppConfig>,
  dependencies: CliDependencies,
): Promise<ServiceSettings | { readonly faults: HealthCheck[] }> {
  try {
    const config = await readConfig();
    return { config, place: await dependencies.openTable(config.metastore).place() };
  } catch (error) {
    if (!(error instanceof KeyfoldError && error.code === 'InvalidConfiguration')) throw error;
    const [, ...lines] = error.message.split('\n');
    const fix = 'correct it: docs/reference/configuration.md';
    return { faults: lines.map((line) => fault('settings', line.replace(/^- /, ''), fix)) };
  }
}

async function allChecks({ config, place }: ServiceSettings, dependencies: CliDependencies): Promise<HealthCheck[]> {
  const { now } = dependencies;
  const open = (region?: string): TableInspector =>
    dependencies.inspectTable(region === undefined ? config.metastore : replicaIn(region, config.metastore));
  const inspector = open();
  const { inspectDatabase } = dependencies;
  const usesAws = inspectDatabase === undefined || needsCredentials(config.kms);
  const credentials = usesAws ? [await credentialsOf(inspector, now())] : [];
  if (credentials.some(({ state }) => state === 'fault')) return [ok('settings', 'valid'), ...credentials];
  const keys = config.kms.kind === 'aws' ? Object.entries(config.kms.keys) : [];
  const inspectors = keys.map(([region, arn]) => dependencies.inspectKms(region, arn));
  const { regionSuffix } = config.names;
  const openQuotas = (region: string): Promise<QuotaInspector> => dependencies.inspectQuotas(region);
  const [regions, tableHealth] = await Promise.all([
    Promise.all(inspectors.map((each) => checkKmsRegion(each, openQuotas, now()))),
    inspectDatabase === undefined
      ? checkTable(inspector, { place, open, openQuotas, regionSuffix })
      : checkDatabase(
          dependencies.openTable(config.metastore),
          inspectDatabase,
          new KeyNaming(config.names).systemKeyId,
        ),
  ]);
  const offsets = [inspector, ...inspectors].map((each) => each.clockOffsetMs());
  return [
    ok('settings', 'valid'),
    ...checkTls(dependencies.environment),
    ...minimumsOf(cryptoPolicy(config.policy)).map((says) => ok('minimum dates', says)),
    ...credentials,
    clockOf(
      offsets.find((offset) => offset !== undefined),
      tableHealth,
    ),
    ...(await kmsChecks(config, regions, dependencies)),
    ...tableHealth.checks,
    ...(await systemKeyChecks(config, regions, tableHealth, dependencies)),
    await erasuresOf(config, tableHealth, dependencies),
  ];
}

/**
 * Whether Keyfold needs AWS credentials to use a key service: AWS KMS, or a Vault to which Keyfold logs in with AWS.
 */
function needsCredentials(kms: AppConfig['kms']): boolean {
  return kms.kind === 'aws' || (kms.kind === 'vault' && kms.login.method === 'aws');
}

async function credentialsOf(inspector: TableInspector, nowMs: number): Promise<HealthCheck> {
  const check = 'credentials';
  const fix = 'log in again, or set AWS_PROFILE: aws sts get-caller-identity';
  const outcome = await inspector.credentialsEndAtMs();
  if ('fault' in outcome) return fault(check, `none found: ${faultText(outcome.fault)}`, fix);
  if (outcome.answer === undefined) return ok(check, 'found, without an end');
  const leftMs = outcome.answer - nowMs;
  const says = `end at ${new Date(outcome.answer).toISOString()}`;
  if (leftMs <= 0) return fault(check, says, fix);
  return leftMs < CREDENTIALS_LEFT_MS ? warn(check, says, fix) : ok(check, says);
}

/**
 * Compares this machine's clock with AWS's clock. If no AWS service has responded, compares it with the SQL database's
 * clock.
 */
function clockOf(awsOffsetMs: number | undefined, { clockOffsetMs }: DatabaseHealth): HealthCheck {
  const check = 'clock';
  const offsetMs = awsOffsetMs ?? clockOffsetMs;
  if (offsetMs === undefined) return skip(check, 'no service of AWS has answered');
  const seconds = Math.abs(offsetMs / 1000).toFixed(1);
  const whose = awsOffsetMs === undefined ? "the database's" : "AWS's";
  const says = `${seconds} s ${offsetMs < 0 ? 'ahead of' : 'behind'} ${whose}`;
  if (Math.abs(offsetMs) <= MAX_CLOCK_OFFSET_MS) return ok(check, says);
  return fault(check, says, 'set the clock of this machine by NTP, and look for keys that it dated wrongly');
}

async function kmsChecks(
  { kms }: AppConfig,
  regions: readonly KmsRegionHealth[],
  dependencies: CliDependencies,
): Promise<HealthCheck[]> {
  if (kms.kind === 'aws') return regions.flatMap(({ checks }) => checks);
  if (kms.kind === 'vault') {
    const { addresses } = kms;
    const checkOne = async (address: string): Promise<HealthCheck> => {
      const opened = await dependencies.openKms({ ...kms, addresses: [address] });
      return checkCalls(`vault ${address} calls`, opened, VAULT_FIX, dependencies.now);
    };
    return Promise.all(addresses.map(checkOne));
  }
  if (kms.kind === 'pkcs11') {
    const opened = await dependencies.openKms(kms);
    return [await checkCalls(`hsm ${kms.tokenLabel} calls`, opened, HSM_FIX, dependencies.now)];
  }
  const fix = 'set KEYFOLD_KMS_KEYS: a static key is for a developer’s machine only';
  return [warn('kms', 'a static master key wraps the System Keys', fix)];
}

async function systemKeyChecks(
  config: AppConfig,
  regions: readonly KmsRegionHealth[],
  { answers, holdsRows }: TableHealth,
  dependencies: CliDependencies,
): Promise<HealthCheck[]> {
  if (!answers) return [tableSilent('system keys')];
  const { now } = dependencies;
  const { names, proofs } = config;
  const policy = cryptoPolicy(config.policy);
  const naming = new KeyNaming(names);
  let rows: readonly KeyRow[];
  try {
    rows = await dependencies.openTable(config.metastore).list(naming.systemKeyId);
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    const cause = error.cause instanceof Error ? error.cause.message : error.message;
    return [fault('system keys', cause, fixOfQuery(cause))];
  }
  const kms = await dependencies.openKms(config.kms);
  const { keyRowProofs = 'verify' } = proofs;
  const corrupted = 'docs/runbooks/rows-corrupted.md';
  const isSql = dependencies.inspectDatabase !== undefined;
  const rowsFix = isSql
    ? `${DATABASE_PAGE}#time-zones if all dates are wrong by hours, otherwise ${corrupted}`
    : corrupted;
  return checkSystemKeys(rows, { naming, policy, keyRowProofs, now, kms, regions, holdsRows, rowsFix });
}

/** Checks whether an erasure is due. No scheduled job deletes keys, so an operator must finish the erasure. */
async function erasuresOf(
  config: AppConfig,
  { answers }: TableHealth,
  dependencies: CliDependencies,
): Promise<HealthCheck> {
  const check = 'erasures';
  if (!answers) return tableSilent(check);
  try {
    const { register } = dependencies.openErasureTables(config.metastore, config.names);
    const due = dueErasures(await register.list(), dependencies.now());
    if (due.length === 0) return ok(check, 'none is due');
    const each = due.map(({ partition, due: since }) => `${partition} since ${isoOf(since) ?? '?'}`).join(', ');
    const fix = 'keyfold partitions erase PARTITION --finish, or --cancel: docs/how-to/erase-a-partition.md';
    return warn(check, `keys are due for deletion: ${each}`, fix);
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    const cause = error.cause instanceof Error ? error.cause.message : error.message;
    if (isDenied(cause)) return skip(check, `could not look: ${cause}`);
    return warn(check, `could not be read: ${cause}`, fixOfQuery(cause));
  }
}

/** Whether AWS refused a call because of a missing permission. */
function isDenied(cause: string): boolean {
  return /\bAccessDenied/.test(cause);
}

/** What an operator should do if the table exists, but its rows cannot be read. */
function fixOfQuery(cause: string): string {
  if (isDenied(cause)) return "allow dynamodb:Query on the service's rows";
  if (/Throttling|Throughput|LimitExceeded/.test(cause))
    return 'find the process that uses up the capacity of the table, or raise its limit';
  return 'docs/runbooks/table-lost.md';
}

const COLOURS: Readonly<Record<HealthCheck['state'], Colour>> = {
  ok: 'green',
  warn: 'yellow',
  fault: 'red',
  skip: 'dim',
};

function print(checks: readonly HealthCheck[], json: boolean, { terminal }: CliDependencies): void {
  if (json) {
    terminal.out(jsonLines(checks));
    return;
  }
  const cells = checks.map(({ state, check, says, fix }) => [
    state,
    check,
    fix === undefined ? says : `${says.replace(/\.$/, '')}. Fix: ${fix}`,
  ]);
  const [header = '', ...lines] = formatTable(['STATE', 'CHECK', 'RESULT'], cells);
  terminal.out(header);
  for (const [i, line] of lines.entries()) terminal.out(line, COLOURS[checks[i]?.state ?? 'skip']);
}
