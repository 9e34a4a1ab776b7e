import { startDynamoDb } from '../../local/dynamodb.ts';
import { ensureKeys } from '../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { AwsKms, DynamoDbMetastore, SessionFactory } from '../../src/index.ts';
import { DynamoDbProxy, type DynamoDbFault } from './dynamodb-proxy.ts';
import { OperatorFixture } from './operator.ts';
import { StubQuotas } from './stub-quotas.ts';

export const WEST = 'us-west-2';
export const EAST = 'us-east-1';

/** What DynamoDB returns about a table's settings. The emulator lacks these settings. */
export interface TableSettings {
  DeletionProtectionEnabled: boolean;
  recovery: { PointInTimeRecoveryStatus: string; RecoveryPeriodInDays?: number };
  SSEDescription?: object;
  Replicas?: readonly object[];
  ProvisionedThroughput?: object;
  OnDemandThroughput?: object;
  /** The number of rows, which DynamoDB updates about every six hours. */
  ItemCount: number;
  expiry: { TimeToLiveStatus: string; AttributeName?: string };
}

/**
 * A service that uses emulators of DynamoDB and of KMS in two regions. `keyfold doctor` finds nothing wrong with it.
 */
export class HealthyService {
  readonly kms: KmsEmulator;
  readonly proxy: DynamoDbProxy;
  readonly quotas: StubQuotas;
  readonly operator: OperatorFixture;
  readonly keys: Readonly<Record<string, string>>;
  readonly table: TableSettings = {
    DeletionProtectionEnabled: true,
    recovery: { PointInTimeRecoveryStatus: 'ENABLED', RecoveryPeriodInDays: 35 },
    ItemCount: 0,
    expiry: { TimeToLiveStatus: 'DISABLED' },
  };
  readonly stop: () => Promise<void>;

  private constructor(
    kms: KmsEmulator,
    proxy: DynamoDbProxy,
    quotas: StubQuotas,
    keys: HealthyService['keys'],
    closeTable: () => Promise<void>,
  ) {
    this.kms = kms;
    this.proxy = proxy;
    this.quotas = quotas;
    this.keys = keys;
    this.operator = OperatorFixture.at(proxy.endpoint);
    this.stop = async () => {
      await proxy.stop();
      await closeTable();
      await kms.close();
      await quotas.stop();
    };
    proxy.faultOf = (call) => this.answerOf(call);
  }

  /**
   * Starts the service with a System Key and an Intermediate Key. Sets an environment variable, so that commands in
   * this process use the service's KMS.
   */
  static async start(): Promise<HealthyService> {
    const kms = await startKmsEmulator();
    const { endpoint, close } = await startDynamoDb('EncryptionKey', 0);
    const keys = await ensureKeys(kms, [WEST, EAST]);
    process.env['AWS_ENDPOINT_URL_KMS'] = kms.endpoint;
    const proxy = await DynamoDbProxy.start(endpoint);
    const service = new HealthyService(kms, proxy, await StubQuotas.start(), keys, close);
    await service.sessions().session('tenant-1').encrypt(Buffer.from('x'));
    return service;
  }

  get settings(): Record<string, string> {
    return { KEYFOLD_KMS_KEYS: JSON.stringify(this.keys) };
  }

  /** Makes a service process with a cold cache. */
  sessions(): SessionFactory {
    const kms = new AwsKms({ keys: this.keys, preferredRegion: WEST, endpoint: this.kms.endpoint });
    const metastore = new DynamoDbMetastore({ endpoint: this.proxy.endpoint, region: WEST });
    return new SessionFactory({ service: 'orders', product: 'shop', kms, metastore, now: this.operator.clock.now });
  }

  /** The proxy's responses about the table's settings. */
  answerOf(call: string): DynamoDbFault | undefined {
    const { recovery, expiry, ...described } = this.table;
    if (call.startsWith('DescribeTable ')) {
      return {
        kind: 'edited',
        edit: (answer) => {
          const { Table, ...error } = JSON.parse(answer) as { Table?: object };
          return JSON.stringify(Table === undefined ? error : { Table: { ...Table, ...described } });
        },
      };
    }
    if (call.startsWith('DescribeTimeToLive ')) {
      return { kind: 'answered', answer: { TimeToLiveDescription: expiry } };
    }
    if (!call.startsWith('DescribeContinuousBackups ')) return undefined;
    const ContinuousBackupsDescription = {
      ContinuousBackupsStatus: 'ENABLED',
      PointInTimeRecoveryDescription: recovery,
    };
    return { kind: 'answered', answer: { ContinuousBackupsDescription } };
  }

  /** Makes the dates of the table's responses differ from this machine's clock. */
  moveTableClock(aheadMs: number): void {
    const { faultOf } = this.proxy;
    this.proxy.faultOf = (call) => {
      const date = new Date(Date.now() + aheadMs).toUTCString();
      return faultOf(call) ?? { kind: 'edited', edit: (answer) => answer, headers: { date } };
    };
  }
}
