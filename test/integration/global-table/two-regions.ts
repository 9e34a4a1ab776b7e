import { CreateKeyCommand, DisableKeyCommand, KMSClient, UpdateAliasCommand } from '@aws-sdk/client-kms';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import {
  AwsKms,
  cryptoPolicy,
  DynamoDbMetastore,
  SessionFactory,
  SystemKeyMaintenance,
  type CryptoPolicy,
  type MaintenanceReport,
} from '../../../src/index.ts';
import { RegionalKms } from '../../../src/kms/regional-kms.ts';
import { PartitionErasure } from '../../../src/maintenance/partition-erasure.ts';
import { DynamoDbErasureTables } from '../../../src/metastore/dynamodb-erasure-tables.ts';
import { DynamoDbKeyTable } from '../../../src/metastore/dynamodb-key-table.ts';
import { HandClock } from '../../support/fakes.ts';
import { startDynamoDbFront, type DynamoDbFront } from './dynamodb-front.ts';
import type { GlobalTable } from './global-table.ts';

/** The two regions. The first may have older processes without a region suffix. */
export const REGIONS = ['us-west-2', 'us-east-1'] as const;

export type Region = (typeof REGIONS)[number];

/** One value for each region. */
export type PerRegion<T> = Readonly<Record<Region, T>>;

/** The emulators, which many services share. */
export interface Emulators {
  readonly dynamoDb: DynamoDbFront;
  readonly kms: KmsEmulator;
}

export async function startEmulators(): Promise<Emulators> {
  const [dynamoDb, kms] = await Promise.all([startDynamoDbFront(), startKmsEmulator()]);
  return { dynamoDb, kms };
}

export interface TwoRegionsOptions {
  /**
   * The names of the service's table and KMS keys begin with this prefix. Other services on the same emulators use
   * other prefixes.
   */
  readonly name: string;
  readonly lagMs: number;
  /** The source of every random choice. Returns a number of at least 0 and less than 1. */
  readonly draw: () => number;
}

/** The options of a process. */
export interface ProcessOptions {
  readonly suffixed: boolean;
  /** The process's clock is ahead of the true time by this many milliseconds. */
  readonly offsetMs?: number;
  readonly policy?: Partial<CryptoPolicy>;
}

/** The timeouts are long, because a busy machine may be slow. No emulator hangs in these tests. */
const TIMEOUT_MS = 15_000;
const NAMES = { service: 'svc', product: 'prod' };

/**
 * A service in two regions. Each region has a replica of a Global Table, and a KMS key behind an alias. The clock moves
 * only when a test moves it.
 */
export class TwoRegions {
  readonly clock: HandClock;
  readonly table: GlobalTable;
  /** The replicas, for an operator who reads and changes them. */
  readonly keyTables: PerRegion<DynamoDbKeyTable>;
  readonly #emulators: Emulators;
  readonly #alias: string;
  readonly #name: string;
  readonly #metastores: PerRegion<DynamoDbMetastore>;
  readonly #kms: PerRegion<AwsKms>;
  readonly #kmsClients: PerRegion<KMSClient>;
  readonly #replacedKeys: { region: Region; arn: string }[] = [];
  #brokenKms: Region | undefined;

  private constructor(
    emulators: Emulators,
    { name, draw }: TwoRegionsOptions,
    world: { clock: HandClock; table: GlobalTable; keys: PerRegion<string> },
  ) {
    const { clock, table, keys } = world;
    const { endpoint } = emulators.kms;
    const place = (region: Region) => ({
      tableName: `${name}.${region}`,
      region,
      endpoint: emulators.dynamoDb.endpoint,
      requestTimeoutMs: TIMEOUT_MS,
    });
    // Delays end immediately, because only the test advances this clock.
    const real = {
      now: clock.now,
      random: draw,
      sleep: async () => {},
      connect: (o: ConstructorParameters<typeof RegionalKms>[0]) => new RegionalKms(o),
    };
    const timeouts = { requestTimeoutMs: TIMEOUT_MS };
    this.clock = clock;
    this.table = table;
    this.#emulators = emulators;
    this.#alias = `alias/${name}`;
    this.#name = name;
    this.keyTables = perRegion((region) => new DynamoDbKeyTable(place(region)));
    this.#metastores = perRegion((region) => new DynamoDbMetastore(place(region)));
    this.#kms = perRegion((region) => new AwsKms({ keys, preferredRegion: region, endpoint, timeouts }, real));
    this.#kmsClients = perRegion((region) => new KMSClient({ region, endpoint }));
  }

  static async open(emulators: Emulators, options: TwoRegionsOptions): Promise<TwoRegions> {
    const { name, lagMs, draw } = options;
    const clock = new HandClock();
    const [first, second] = REGIONS;
    const tables = [`${name}.${first}`, `${name}.${second}`] as const;
    const table = await emulators.dynamoDb.globalTable(tables, { now: clock.now, lagMs, draw });
    const made = await Promise.all(REGIONS.map((region) => emulators.kms.ensureKey(region, `alias/${name}`)));
    const keys = perRegion((region) => made[REGIONS.indexOf(region)]?.aliasArn ?? '');
    return new TwoRegions(emulators, options, { clock, table, keys });
  }

  /** A process in a region, with a cold cache, which uses the region's replica. */
  process(region: Region, { suffixed, offsetMs = 0, policy = {} }: ProcessOptions): SessionFactory {
    return new SessionFactory({ ...this.#parts(region, suffixed), policy, now: () => this.clock.nowMs + offsetMs });
  }

  /** An operator's erasure of a partition. The operator's own region is `region`. */
  erasure(region: Region, partition: string, endpoint: string): PartitionErasure {
    const { regionSuffix, kms } = this.#parts(region, true);
    const names = { ...NAMES, regionSuffix };
    const tables = new DynamoDbErasureTables({ tableName: this.#name, region, endpoint }, names);
    return new PartitionErasure({ names, partition, tables, kms, policy: cryptoPolicy(), now: this.clock.now });
  }

  /** Runs maintenance once in a region, for the region's own keys or for the keys without a suffix. */
  maintain(region: Region, suffixed: boolean): Promise<MaintenanceReport> {
    return new SystemKeyMaintenance({ ...this.#parts(region, suffixed), now: this.clock.now }).run();
  }

  /** Moves the clock forward, and delivers the rows that are due by then. */
  async wait(ms: number): Promise<void> {
    this.clock.advance(ms);
    await this.table.deliver();
  }

  /** The region in which KMS currently fails. */
  get brokenKms(): Region | undefined {
    return this.#brokenKms;
  }

  /** Makes KMS fail in one region and work in the other. */
  breakKms(region: Region): void {
    this.mendKms();
    this.#brokenKms = region;
    const actions = ['GenerateDataKey', 'Encrypt', 'Decrypt'];
    this.#emulators.kms.setFault(region, { kind: 'error', name: 'KMSInternalException', status: 500, actions });
  }

  mendKms(): void {
    this.#brokenKms = undefined;
    this.#emulators.kms.clearFaults();
  }

  /** Puts a new KMS key behind a region's alias. */
  async replaceKmsKey(region: Region): Promise<void> {
    const { keyArn } = await this.#emulators.kms.ensureKey(region, this.#alias);
    const { KeyMetadata } = await this.#kmsClients[region].send(new CreateKeyCommand({}));
    const command = new UpdateAliasCommand({ AliasName: this.#alias, TargetKeyId: KeyMetadata?.Arn });
    await this.#kmsClients[region].send(command);
    this.#replacedKeys.push({ region, arn: keyArn });
  }

  /** Disables every KMS key that a newer key has replaced. */
  async disableReplacedKmsKeys(): Promise<void> {
    for (const { region, arn } of this.#replacedKeys) {
      await this.#kmsClients[region].send(new DisableKeyCommand({ KeyId: arn }));
    }
  }

  #parts(region: Region, suffixed: boolean) {
    const regionSuffix = suffixed ? region : undefined;
    return { ...NAMES, regionSuffix, metastore: this.#metastores[region], kms: this.#kms[region] };
  }
}

/** Makes one value for each region. */
export function perRegion<T>(make: (region: Region) => T): PerRegion<T> {
  return { 'us-west-2': make('us-west-2'), 'us-east-1': make('us-east-1') };
}
