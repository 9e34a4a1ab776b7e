import {
  CancelKeyDeletionCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  KMSClient,
  ScheduleKeyDeletionCommand,
} from '@aws-sdk/client-kms';
import type { FaultInput } from '../../emulators/kms/faults.ts';
import { startKmsEmulator, type KmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { AwsKms, DynamoDbMetastore, SessionFactory, type AwsKmsOptions } from '../../src/index.ts';
import { DAY_MS } from './fakes.ts';

export const WEST = 'us-west-2';
export const EAST = 'us-east-1';

/** The options of a {@link WireFixture}. */
export interface WireOptions {
  /** The endpoint of a DynamoDB server with the table `EncryptionKey`, or of a proxy in front of the server. */
  readonly dynamoDb: string;
  readonly dynamoDbTimeoutMs?: number;
  /** The name of the service. Tests on the same table use different names. */
  readonly service: string;
  readonly kms?: Partial<AwsKmsOptions>;
}

/** A KMS emulator with keys in two regions. Any number of service processes use it and a DynamoDB server over HTTP. */
export class WireFixture {
  readonly kms: KmsEmulator;
  readonly keys: Readonly<Record<string, { readonly keyArn: string; readonly aliasArn: string }>>;
  readonly #options: WireOptions;

  private constructor(options: WireOptions, kms: KmsEmulator, keys: WireFixture['keys']) {
    this.#options = options;
    this.kms = kms;
    this.keys = keys;
  }

  static async start(options: WireOptions): Promise<WireFixture> {
    const kms = await startKmsEmulator();
    const keysOf = await Promise.all(
      [WEST, EAST].map(async (region) => [region, await kms.ensureKey(region, 'alias/keyfold')] as const),
    );
    return new WireFixture(options, kms, Object.fromEntries(keysOf));
  }

  stop(): Promise<void> {
    return this.kms.close();
  }

  /**
   * Starts a process with a cold cache and its own connections. The process does not know yet whether the regions are
   * healthy.
   */
  process(kms: Partial<AwsKmsOptions> = {}, dynamoDb = this.#options.dynamoDb): SessionFactory {
    const { service, dynamoDbTimeoutMs = 5000 } = this.#options;
    const metastore = new DynamoDbMetastore({ endpoint: dynamoDb, region: WEST, requestTimeoutMs: dynamoDbTimeoutMs });
    // With a precision of a day, two processes that create keys give their keys the same date. So there is always a
    // race.
    const policy = { createDatePrecisionMs: DAY_MS };
    return new SessionFactory({ service, product: 'matrix', kms: this.#openKms(kms), metastore, policy });
  }

  /**
   * The calls that KMS received, by region. `GE/G` means GenerateDataKey and Encrypt in the west, and GenerateDataKey
   * in the east.
   */
  kmsCalls(): string {
    return [WEST, EAST].map((region) => this.#callsIn(region)).join('/');
  }

  /** Changes the state of a region's key, as the key's administrator would. */
  async setKeyState(region: string, state: 'Disabled' | 'PendingDeletion' | 'Enabled'): Promise<void> {
    const client = new KMSClient({ region, endpoint: this.kms.endpoint });
    const KeyId = this.keys[region]?.keyArn;
    if (state === 'Disabled') await client.send(new DisableKeyCommand({ KeyId }));
    if (state === 'PendingDeletion') await client.send(new ScheduleKeyDeletionCommand({ KeyId }));
    if (state === 'Enabled') {
      await client.send(new CancelKeyDeletionCommand({ KeyId })).catch(() => {});
      await client.send(new EnableKeyCommand({ KeyId }));
    }
    client.destroy();
  }

  /** Injects a fault into a region of the emulator. */
  setFault(region: string, fault: FaultInput): void {
    this.kms.setFault(region, fault);
  }

  /** Clears all faults and enables all keys. */
  async recover(): Promise<void> {
    this.kms.clearFaults();
    for (const region of [WEST, EAST]) await this.setKeyState(region, 'Enabled');
  }

  #openKms(changes: Partial<AwsKmsOptions>): AwsKms {
    const keys = Object.fromEntries(Object.entries(this.keys).map(([region, { aliasArn }]) => [region, aliasArn]));
    return new AwsKms({ keys, preferredRegion: WEST, endpoint: this.kms.endpoint, ...this.#options.kms, ...changes });
  }

  #callsIn(region: string): string {
    const calls = this.kms.calls().filter((call) => call.region === region);
    return calls.map(({ action }) => action.charAt(0)).join('') || '-';
  }
}
