import type { AppConfig, FunctionKms, KmsConfig } from './config/app-config.ts';
import type { Pkcs11Config } from './config/pkcs11-config.ts';
import { areQueuesOfAws, readQueueConfig } from './config/queue-config.ts';
import { readConfig, vaultReaderOf } from './config/read-config.ts';
import type { HttpDoorOptions } from './doors/http.ts';
import type { DoorOptions } from './doors/perform.ts';
import type { QueueDoorOptions } from './doors/queue-batch.ts';
import type { ReencryptDoorOptions } from './doors/reencrypt.ts';
import type { ScheduleDoorOptions } from './doors/schedule.ts';
import { toKeyfoldError } from './doors/problem.ts';
import { createMaintenanceTelemetry, createTelemetry, type Telemetry } from './doors/telemetry.ts';
import { invalidConfiguration, KeyfoldError } from './errors.ts';
import type { ErasureRegister, ErasureTables } from './maintenance/erasure-table.ts';
import type { KmsInspector, QuotaInspector, TableInspector } from './maintenance/inspection.ts';
import { dryRunStore } from './maintenance/dry-run-store.ts';
import { KeyRotation } from './maintenance/key-rotation.ts';
import type { KeyTable } from './maintenance/key-table.ts';
import type { KeyManagementService, Metastore } from './envelope/ports.ts';
import { SessionFactory } from './envelope/session-factory.ts';
import type { RowSource } from './maintenance/reencryption/rows.ts';
import type { CiphertextOpener } from './maintenance/reencryption/verbs.ts';
import type { RowTransfer } from './maintenance/row-transfer.ts';
import { SystemKeyMaintenance, type SystemKeyStore } from './maintenance/system-key-maintenance.ts';
import { AwsKms } from './kms/aws-kms.ts';
import { KmsCiphertexts } from './kms/kms-ciphertexts.ts';
import { AwsKmsInspector } from './kms/aws-kms-inspector.ts';
import type { KmsEvents } from './kms/failover.ts';
import type { RegionState } from './kms/region-health.ts';
import { StaticKms } from './kms/static-kms.ts';
import type { Pkcs11Kms } from './kms/pkcs11/pkcs11-kms.ts';
import type { VaultKms } from './kms/vault/vault-kms.ts';
import type { DynamoDbMetastoreOptions } from './metastore/dynamodb-options.ts';
import { DynamoDbErasureRegister } from './metastore/dynamodb-erasure-register.ts';
import { DynamoDbErasureTables } from './metastore/dynamodb-erasure-tables.ts';
import { DynamoDbInspector } from './metastore/dynamodb-inspector.ts';
import { DynamoDbKeyTable } from './metastore/dynamodb-key-table.ts';
import { DynamoDbMetastore } from './metastore/dynamodb-metastore.ts';
import { DynamoDbRowTransfer } from './metastore/dynamodb-row-transfer.ts';
import { DynamoDbSource, openSqlSource } from './metastore/key-row-sources.ts';
import { openDatabase } from './metastore/sql/open-database.ts';
import { SqlErasureRegister } from './metastore/sql/sql-erasure-register.ts';
import { SqlErasureTables } from './metastore/sql/sql-erasure-tables.ts';
import { SqlMetastore } from './metastore/sql/sql-metastore.ts';
import { SqlOperatorTable } from './metastore/sql/sql-operator-table.ts';
import { KeyNaming, type ServiceNames } from './records/ids.ts';
import { DynamoDbQuarantine } from './rows/dynamodb-quarantine.ts';
import { DynamoDbRows } from './rows/dynamodb-rows.ts';
import { JsonLinesRows } from './rows/json-lines.ts';
import { openPostgresRows } from './rows/open-postgres.ts';
import type { RowsOptions } from './rows/rows-options.ts';
import { SqsQueues } from './sqs/sqs-queues.ts';

/**
 * Builds the dependencies of the HTTP door from environment variables. Call it once per process, because the result
 * holds the key cache.
 * @throws KeyfoldError `InvalidConfiguration`, listing everything that is wrong
 */
export async function buildApi(): Promise<HttpDoorOptions> {
  const config = readConfig(process.env, [], await vaultReaderOf(process.env));
  return { ...(await buildDoor(config)), auth: config.auth };
}

/**
 * Builds the dependencies of the door for direct invocation. `KEYFOLD_OPERATIONS` is required, because IAM permissions
 * to invoke a function do not distinguish its operations.
 * @throws KeyfoldError `InvalidConfiguration`, listing everything that is wrong
 */
export async function buildInvoke(): Promise<DoorOptions> {
  return buildDoor(readConfig(process.env, ['OPERATIONS'], await vaultReaderOf(process.env)));
}

/**
 * Builds the dependencies of the queue door. Call it once per process, because the result holds the key cache.
 * @throws KeyfoldError `InvalidConfiguration`, listing everything that is wrong
 */
export async function buildQueue(): Promise<QueueDoorOptions> {
  const config = readQueueConfig(process.env, await vaultReaderOf(process.env));
  return {
    ...(await buildDoor(config)),
    queue: config.queue,
    queues: new SqsQueues({ useQueueUrlAsEndpoint: !areQueuesOfAws(config.queue) }),
  };
}

/**
 * Builds the dependencies of the schedule door, which maintains System Keys.
 * @throws KeyfoldError `InvalidConfiguration`, listing everything that is wrong
 */
export async function buildMaintenance(): Promise<ScheduleDoorOptions> {
  const config = readConfig(process.env, [], await vaultReaderOf(process.env));
  const telemetry = createMaintenanceTelemetry(config.names.service);
  return {
    maintenance: new SystemKeyMaintenance({
      ...config.names,
      policy: config.policy,
      metastore: new DynamoDbMetastore({ ...config.metastore, events: telemetry.events }),
      kms: await openMaintainable(config.kms, telemetry.events),
      erasures: new DynamoDbErasureRegister(config.metastore, config.names),
      events: telemetry.events,
    }),
    telemetry,
    deadlineMarginMs: config.door.deadlineMarginMs,
  };
}

/**
 * Builds the dependencies of the door for re-encryption.
 * @throws KeyfoldError `InvalidConfiguration`, listing everything that is wrong
 */
export async function buildReencrypt(): Promise<ReencryptDoorOptions> {
  const config = readConfig(process.env, [], await vaultReaderOf(process.env));
  const telemetry = createTelemetry(config.names.service);
  const { kms } = await buildKms(config, telemetry);
  const { names, policy } = config;
  const metastore = new DynamoDbMetastore({ ...config.metastore, events: telemetry.events });
  const rules = runRulesOf(config);
  return {
    keyfold: new SessionFactory({ ...names, ...rules, policy, metastore, kms, events: telemetry.events }),
    naming: new KeyNaming(names),
    telemetry,
    openRows: ({ table: tableName, segment: index, segments: of, ...event }) =>
      new DynamoDbRows(
        {
          table: { tableName, ...regionOf(config) },
          segment: { index, of },
          readUnits: undefined,
          writeUnits: undefined,
          fields: event.fields,
          partition: event.partition,
          partitionField: event.partitionField,
          context: event.context,
          contextFrom: event.contextFrom,
        },
        Date.now,
      ),
    openQuarantine: ({ quarantineTable: tableName, run }) => {
      const quarantine = new DynamoDbQuarantine({ tableName, ...regionOf(config) });
      return (row) => quarantine.add(run, row);
    },
    now: Date.now,
  };
}

/**
 * The region and the endpoint of the key table. The table that is re-encrypted and the quarantine table are in the same
 * place.
 */
function regionOf({
  metastore: { region, endpoint },
}: AppConfig): Pick<DynamoDbMetastoreOptions, 'region' | 'endpoint'> {
  return { ...(region !== undefined && { region }), ...(endpoint !== undefined && { endpoint }) };
}

/** @throws KeyfoldError `InvalidConfiguration` if a static master key is configured */
async function openMaintainable(config: FunctionKms, events?: Telemetry['events']): Promise<AwsKms | VaultKms> {
  if (config.kind === 'static') throw invalidConfiguration(['a static master key has no wraps to maintain']);
  return openRegionalKms(config, events);
}

/** Opens the dependencies of the operator's commands. Sends no request. */
export const operatorAdapters = {
  openTable: (options: DynamoDbMetastoreOptions): KeyTable => new DynamoDbKeyTable(options),
  openErasureTables: (options: DynamoDbMetastoreOptions, names: ServiceNames): ErasureTables =>
    new DynamoDbErasureTables(options, names),
  openImport: async (url: string, target: DynamoDbMetastoreOptions): Promise<RowTransfer> =>
    new DynamoDbRowTransfer(await openSqlSource(url), target),
  openCopy: (source: DynamoDbMetastoreOptions, target: DynamoDbMetastoreOptions): RowTransfer =>
    new DynamoDbRowTransfer(new DynamoDbSource(source), target),
  openKms,
  openRotation: async (config: AppConfig): Promise<KeyRotation> =>
    rotationOn(new DynamoDbMetastore(config.metastore), config),
  openSessions: async (config: AppConfig): Promise<SessionFactory> =>
    sessionsOn(new DynamoDbMetastore(config.metastore), config),
  openMaintenance: async (config: AppConfig, dryRun: boolean): Promise<SystemKeyMaintenance> => {
    const { metastore, names } = config;
    const erasures = new DynamoDbErasureRegister(metastore, names);
    return maintenanceOn(new DynamoDbMetastore(metastore), config, { dryRun, erasures });
  },
  openDatabase: async (url: string, variable: string) => {
    const database = await openDatabase(url, variable);
    const metastore = new SqlMetastore(database.table);
    const onlyDynamoDb = (): never => {
      throw new KeyfoldError('InvalidRequest', `This needs a key table in DynamoDB: unset ${variable}.`);
    };
    return {
      inspectDatabase: database.inspect,
      close: database.close,
      // Here, only the option --against sets `tableName`. It names a second table in DynamoDB, so refuse it for an SQL
      // database.
      openTable: ({ tableName }: DynamoDbMetastoreOptions): KeyTable =>
        tableName === undefined ? new SqlOperatorTable(database) : onlyDynamoDb(),
      openErasureTables: (_: DynamoDbMetastoreOptions, names: ServiceNames): ErasureTables =>
        new SqlErasureTables(database, names),
      openImport: onlyDynamoDb,
      openCopy: onlyDynamoDb,
      openRotation: (config: AppConfig) => rotationOn(metastore, config),
      openSessions: (config: AppConfig) => sessionsOn(metastore, config),
      openMaintenance: (config: AppConfig, dryRun: boolean) => {
        const erasures = new SqlErasureRegister(database, config.names);
        return maintenanceOn(metastore, config, { dryRun, erasures });
      },
    };
  },
  openRows: async (options: RowsOptions): Promise<RowSource> => {
    if (options.kind === 'postgres') return openPostgresRows(options.url, options);
    return options.kind === 'file' ? new JsonLinesRows(options) : new DynamoDbRows(options, Date.now);
  },
  openCiphertexts: (region: string, encryptionContext?: Readonly<Record<string, string>>): CiphertextOpener =>
    new KmsCiphertexts(region, encryptionContext),
  inspectTable: (options: DynamoDbMetastoreOptions): TableInspector => new DynamoDbInspector(options, Date.now),
  inspectKms: (region: string, keyArn: string): KmsInspector => new AwsKmsInspector(region, keyArn, Date.now),
  // Only `doctor` loads these SDK clients.
  inspectQuotas: async (region: string): Promise<QuotaInspector> => {
    const { AwsQuotaInspector } = await import('./quotas/aws-quota-inspector.ts');
    return new AwsQuotaInspector(region, Date.now);
  },
};

async function rotationOn(metastore: Metastore, { names, policy, proofs, kms }: AppConfig): Promise<KeyRotation> {
  return new KeyRotation({
    naming: new KeyNaming(names),
    policy,
    keyRowProofs: proofs.keyRowProofs ?? 'verify',
    kms: await openKms(kms),
    metastore,
    now: Date.now,
  });
}

async function sessionsOn(metastore: Metastore, config: AppConfig): Promise<SessionFactory> {
  const { names, policy, kms } = config;
  return new SessionFactory({ ...names, ...runRulesOf(config), policy, kms: await openKms(kms), metastore });
}

/**
 * The rules for proofs in a run over stored records. They require no context, because the options of the run say
 * whether its records have one.
 */
function runRulesOf({ proofs }: AppConfig): AppConfig['proofs'] {
  return { ...proofs, requireContext: 'off' };
}

async function maintenanceOn(
  store: Metastore & SystemKeyStore,
  { names, policy, kms: config }: AppConfig,
  { dryRun, ...register }: { readonly dryRun: boolean; readonly erasures: ErasureRegister },
): Promise<SystemKeyMaintenance> {
  const kms = config.kind === 'pkcs11' ? await openHsm(config) : await openMaintainable(config);
  return new SystemKeyMaintenance({
    ...names,
    policy,
    metastore: dryRun ? dryRunStore(store) : store,
    kms,
    ...register,
  });
}

async function openKms(config: KmsConfig): Promise<KeyManagementService> {
  if (config.kind === 'static') return new StaticKms(config.masterKey, process.env, config.override);
  return config.kind === 'pkcs11' ? openHsm(config) : openRegionalKms(config);
}

/** Opens an HSM, for an operator's commands only. */
async function openHsm(config: Pkcs11Config): Promise<Pkcs11Kms> {
  const { kind: _, pinFile, ...options } = config;
  const [{ Pkcs11Kms }, { pinIn }] = await Promise.all([
    import('./kms/pkcs11/index.ts'),
    import('./kms/pkcs11/pin-file.ts'),
  ]);
  return new Pkcs11Kms({ ...options, pin: pinIn(pinFile) });
}

/** Opens AWS KMS, or Vault. Only the functions that use Vault load its code. */
async function openRegionalKms(
  config: Exclude<FunctionKms, { kind: 'static' }>,
  events: Partial<KmsEvents> = {},
): Promise<AwsKms | VaultKms> {
  if (config.kind === 'aws') {
    const { kind: _, ...options } = config;
    return new AwsKms({ ...options, events });
  }
  const { kind: _, login, caFile, ...options } = config;
  const { authOf, certificatesIn, VaultKms } = await import('./kms/vault/configured-vault.ts');
  return new VaultKms({ ...options, auth: authOf(login), ca: await certificatesIn(caFile), events });
}

/** The longest time that a starting process waits for the System Key. Lambda allows ten seconds for the whole start. */
const PRELOAD_TIMEOUT_MS = 5000;

async function buildDoor(config: AppConfig<FunctionKms>): Promise<DoorOptions & Pick<HttpDoorOptions, 'health'>> {
  const telemetry = createTelemetry(config.names.service);
  const { kms, regionStates } = await buildKms(config, telemetry);
  const metastore = new DynamoDbMetastore({ ...config.metastore, events: telemetry.events });
  const { names, policy, proofs } = config;
  const keyfold = new SessionFactory({ ...names, ...proofs, policy, metastore, kms, events: telemetry.events });
  if (config.preloadSystemKey) {
    const deadlineAtMs = Date.now() + PRELOAD_TIMEOUT_MS;
    // Only log a failure. If an outage made the start fail, Lambda would restart the process again and again.
    await keyfold.preload({ deadlineAtMs }).catch((error: unknown) => telemetry.preloadFailed(toKeyfoldError(error)));
    // Write the metrics of the preload now, because the first request may come hours later.
    telemetry.flush();
  }
  return {
    keyfold,
    telemetry,
    config: config.door,
    health: () => ({ kms: regionStates(), metastore: metastore.state }),
    now: Date.now,
  };
}

async function buildKms(
  { kms: config }: AppConfig<FunctionKms>,
  { events }: Telemetry,
): Promise<{ kms: KeyManagementService; regionStates: () => RegionState[] }> {
  if (config.kind === 'static') {
    return { kms: new StaticKms(config.masterKey, process.env, config.override), regionStates: () => [] };
  }
  const kms = await openRegionalKms(config, events);
  return { kms, regionStates: () => kms.regionStates() };
}
