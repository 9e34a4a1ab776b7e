import type { AppConfig, KmsConfig } from './config/app-config.ts';
import { readQueueConfig } from './config/queue-config.ts';
import { readConfig } from './config/read-config.ts';
import type { HttpDoorOptions } from './doors/http.ts';
import type { DoorOptions } from './doors/perform.ts';
import type { QueueDoorOptions } from './doors/queue-batch.ts';
import type { ScheduleDoorOptions } from './doors/schedule.ts';
import { toKeyfoldError } from './doors/problem.ts';
import { createTelemetry, type Telemetry } from './doors/telemetry.ts';
import { invalidConfiguration } from './errors.ts';
import type { KmsInspector, TableInspector } from './maintenance/inspection.ts';
import type { KeyTable } from './maintenance/key-table.ts';
import type { KeyManagementService } from './envelope/ports.ts';
import { SessionFactory } from './envelope/session-factory.ts';
import { SystemKeyMaintenance } from './maintenance/system-key-maintenance.ts';
import { AwsKms } from './kms/aws-kms.ts';
import { AwsKmsInspector } from './kms/aws-kms-inspector.ts';
import type { RegionState } from './kms/region-health.ts';
import { StaticKms } from './kms/static-kms.ts';
import type { DynamoDbMetastoreOptions } from './metastore/dynamodb-options.ts';
import { DynamoDbInspector } from './metastore/dynamodb-inspector.ts';
import { DynamoDbKeyTable } from './metastore/dynamodb-key-table.ts';
import { DynamoDbMetastore } from './metastore/dynamodb-metastore.ts';
import { SqsQueues } from './sqs/sqs-queues.ts';

/**
 * Builds the dependencies of the HTTP door from environment variables. Call it once per process, because the result
 * holds the key cache.
 * @throws KeyfoldError `InvalidConfiguration`, listing every fault
 */
export async function buildApi(): Promise<HttpDoorOptions> {
  const config = readConfig(process.env);
  return { ...(await buildDoor(config)), auth: config.auth };
}

/**
 * Builds the dependencies of the door for direct invocation. `KEYFOLD_OPERATIONS` is required, because IAM permissions
 * to invoke a function do not distinguish its operations.
 * @throws KeyfoldError `InvalidConfiguration`, listing every fault
 */
export function buildInvoke(): Promise<DoorOptions> {
  return buildDoor(readConfig(process.env, ['OPERATIONS']));
}

/**
 * Builds the dependencies of the queue door. Call it once per process, because the result holds the key cache.
 * @throws KeyfoldError `InvalidConfiguration`, listing every fault
 */
export async function buildQueue(): Promise<QueueDoorOptions> {
  const config = readQueueConfig(process.env);
  return { ...(await buildDoor(config)), queue: config.queue, queues: new SqsQueues() };
}

/**
 * Builds the dependencies of the schedule door, which maintains System Keys.
 * @throws KeyfoldError `InvalidConfiguration`, listing every fault
 */
export function buildMaintenance(): ScheduleDoorOptions {
  const { kms: kmsConfig, ...config } = readConfig(process.env);
  if (kmsConfig.kind === 'static') throw invalidConfiguration(['a static master key has no wraps to maintain']);
  const telemetry = createTelemetry(config.names.service);
  const { events } = telemetry;
  const { names, policy } = config;
  const { kind: _, ...kmsOptions } = kmsConfig;
  const kms = new AwsKms({ ...kmsOptions, events });
  const metastore = new DynamoDbMetastore({ ...config.metastore, events });
  return {
    maintenance: new SystemKeyMaintenance({ ...names, policy, metastore, kms, events }),
    telemetry,
    deadlineMarginMs: config.door.deadlineMarginMs,
  };
}

/** Opens what the operator's commands use. Opening makes no call. */
export const operatorAdapters = {
  openTable: (options: DynamoDbMetastoreOptions): KeyTable => new DynamoDbKeyTable(options),
  openKms: (config: KmsConfig): KeyManagementService => {
    if (config.kind === 'static') return new StaticKms(config.masterKey, process.env, config.override);
    const { kind: _, ...options } = config;
    return new AwsKms(options);
  },
  inspectTable: (options: DynamoDbMetastoreOptions): TableInspector => new DynamoDbInspector(options, Date.now),
  inspectKms: (region: string, keyArn: string): KmsInspector => new AwsKmsInspector(region, keyArn, Date.now),
};

/** The longest that a start waits for the System Key. Lambda allows ten seconds for the whole start. */
const PRELOAD_TIMEOUT_MS = 5000;

async function buildDoor(config: AppConfig): Promise<DoorOptions & Pick<HttpDoorOptions, 'health'>> {
  const telemetry = createTelemetry(config.names.service);
  const { kms, regionStates } = buildKms(config, telemetry);
  const metastore = new DynamoDbMetastore({ ...config.metastore, events: telemetry.events });
  const { names, policy, proofs } = config;
  const keyfold = new SessionFactory({ ...names, ...proofs, policy, metastore, kms, events: telemetry.events });
  if (config.preloadSystemKey) {
    const deadlineAtMs = Date.now() + PRELOAD_TIMEOUT_MS;
    // A failure is only logged. If an outage made the start fail, Lambda would restart the process again and again.
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

function buildKms(
  { kms: config }: AppConfig,
  { events }: Telemetry,
): { kms: KeyManagementService; regionStates: () => RegionState[] } {
  if (config.kind === 'static') {
    return { kms: new StaticKms(config.masterKey, process.env, config.override), regionStates: () => [] };
  }
  const { kind: _, ...options } = config;
  const kms = new AwsKms({ ...options, events });
  return { kms, regionStates: () => kms.regionStates() };
}
