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

/** What differs from one world over the wire to another. */
export interface WireOptions {
  /** Of a DynamoDB with the table `EncryptionKey`, or of what stands before one. */
  readonly dynamoDb: string;
  readonly dynamoDbTimeoutMs?: number;
  /** Told apart by it in a table that they share. */
  readonly service: string;
  readonly kms?: Partial<AwsKmsOptions>;
}

/**
 * KMS in two regions, and as many processes of a service as a test wants, which reach it and DynamoDB over the wire.
 */
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

  /** A process of its own: a cold cache, and connections and a memory of regions of its own. */
  process(kms: Partial<AwsKmsOptions> = {}, dynamoDb = this.#options.dynamoDb): SessionFactory {
    const { service, dynamoDbTimeoutMs = 5000 } = this.#options;
    const metastore = new DynamoDbMetastore({ endpoint: dynamoDb, region: WEST, requestTimeoutMs: dynamoDbTimeoutMs });
    // Two processes that make a key within a day make the same one, so that a race is one at any time of the day.
    const policy = { createDatePrecisionMs: DAY_MS };
    return new SessionFactory({ service, product: 'matrix', kms: this.#openKms(kms), metastore, policy });
  }

  /**
   * The calls that reached KMS, by region: `GE/G` is GenerateDataKey and Encrypt in the west, GenerateDataKey in the
   * east.
   */
  kmsCalls(): string {
    return [WEST, EAST].map((region) => this.#callsIn(region)).join('/');
  }

  /** Puts a region's key into a state, as its owner would. */
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

  /** Lets a region suffer a fault that the emulator makes. */
  setFault(region: string, fault: FaultInput): void {
    this.kms.setFault(region, fault);
  }

  /** Ends every fault and enables every key again. */
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
