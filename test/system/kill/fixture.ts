import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createKeyTable, startDynamoDb } from '../../../local/dynamodb.ts';
import { startKmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import {
  AwsKms,
  DynamoDbMetastore,
  type DynamoDbMetastoreOptions,
  type EnvelopeKeyRecord,
} from '../../../src/index.ts';
import { DynamoDbKeyTable } from '../../../src/metastore/dynamodb-key-table.ts';
import { buildWorker } from '../../support/build-worker.ts';
import { noDeadline } from '../../support/fakes.ts';
import { HOME, PATIENCE } from './job.ts';
import type { VictimDependencies } from './victim.ts';

/** The KMS regions, beginning with the preferred one. */
export const REGIONS = [HOME, 'us-east-1', 'eu-west-1'] as const;

/** The emulators that all processes of a test share, with any number of key tables. */
export class KillFixture {
  readonly victims: VictimDependencies;
  /** For each region, the alias with which processes are configured. */
  readonly keys: Readonly<Record<string, string>>;
  /** The alias of the home region's former key. */
  readonly formerKey: string;
  readonly #stop: () => Promise<unknown>;
  #tables = 0;

  private constructor(keys: readonly string[], victims: VictimDependencies, stop: () => Promise<unknown>) {
    this.keys = Object.fromEntries(REGIONS.map((region, i) => [region, keys[i] ?? '']));
    this.formerKey = keys.at(-1) ?? '';
    this.victims = victims;
    this.#stop = stop;
  }

  static async start(): Promise<KillFixture> {
    const emulator = await startKmsEmulator();
    const dynamoDb = await startDynamoDb('Unused', 0);
    const worker = await buildWorker(join(import.meta.dirname, 'worker.ts'));
    const keys = await Promise.all([
      ...REGIONS.map((region) => emulator.ensureKey(region, 'alias/keyfold')),
      emulator.ensureKey(HOME, 'alias/former'),
    ]);
    const stop = (): Promise<unknown> =>
      Promise.all([emulator.close(), dynamoDb.close(), rm(dirname(worker), { recursive: true, force: true })]);
    const victims = {
      emulators: { kms: emulator.endpoint, dynamoDb: dynamoDb.endpoint },
      worker,
    };
    return new KillFixture(
      keys.map(({ aliasArn }) => aliasArn),
      victims,
      stop,
    );
  }

  async stop(): Promise<void> {
    await this.#stop();
  }

  /** Creates a table that contains these rows. */
  async tableWith(rows: readonly EnvelopeKeyRecord[]): Promise<string> {
    const tableName = `Keys${(this.#tables += 1)}`;
    await createKeyTable(this.victims.emulators.dynamoDb, tableName);
    const metastore = this.metastore(tableName);
    await Promise.all(rows.map((row) => metastore.store(row, noDeadline())));
    return tableName;
  }

  /**
   * The KMS of a process that is configured with these keys, with its own connections. The first key belongs to the
   * preferred region.
   */
  kms(keys = this.keys): AwsKms {
    const [preferredRegion = ''] = Object.keys(keys);
    return new AwsKms({ keys, preferredRegion, endpoint: this.victims.emulators.kms, timeouts: PATIENCE });
  }

  metastore(tableName: string): DynamoDbMetastore {
    return new DynamoDbMetastore(this.#optionsOf(tableName));
  }

  keyTable(tableName: string): DynamoDbKeyTable {
    return new DynamoDbKeyTable(this.#optionsOf(tableName));
  }

  #optionsOf(tableName: string): DynamoDbMetastoreOptions {
    return { endpoint: this.victims.emulators.dynamoDb, tableName, region: HOME, ...PATIENCE };
  }
}
