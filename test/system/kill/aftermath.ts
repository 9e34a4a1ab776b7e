import {
  SessionFactory,
  SystemKeyMaintenance,
  type AwsKms,
  type DynamoDbMetastore,
  type MaintenanceReport,
} from '../../../src/index.ts';
import { NAMES, payloadOf, type Returned } from './job.ts';
import type { Past } from './scenarios.ts';
import { REGIONS, type KillFixture } from './fixture.ts';

/** The partitions to encrypt for after the kill: two that the killed process used, and a new one. */
const PARTITIONS = ['p', 'q', 'new'];

/** Finds out what is wrong with a key table after a process was killed. */
export class Aftermath {
  readonly faults: string[] = [];
  readonly #world: KillFixture;
  readonly #tableName: string;
  readonly #metastore: DynamoDbMetastore;
  readonly #kms: AwsKms;

  constructor(world: KillFixture, tableName: string) {
    this.#world = world;
    this.#tableName = tableName;
    this.#metastore = world.metastore(tableName);
    this.#kms = world.kms();
  }

  /**
   * Inspects the table with cold processes. First, each region alone must decrypt the records. Then new encrypts and
   * maintenance must succeed. Afterwards, all records must still decrypt.
   * @returns the id of each key in the table at the end
   */
  async inspect(past: Past, returned: readonly Returned[]): Promise<string[]> {
    await this.#rows();
    for (const region of REGIONS) {
      const opensPast = past.opensIn.includes(region);
      const records = opensPast ? [...past.returned, ...returned] : returned;
      const kms = this.#world.kms({ [region]: this.#world.keys[region] ?? '' });
      await this.#open(records, kms, `in ${region} alone`);
    }
    const later = await this.#encrypt();
    await this.#maintain();
    await this.#open([...past.returned, ...returned, ...later], this.#kms, 'after the maintenance');
    return this.#rows();
  }

  async #rows(): Promise<string[]> {
    const rows = await this.#world.keyTable(this.#tableName).list();
    for (const row of rows) if ('unreadable' in row) this.faults.push(`${row.id} is unreadable: ${row.unreadable}`);
    return rows.map(({ id }) => id).toSorted();
  }

  async #open(returned: readonly Returned[], kms: AwsKms, where: string): Promise<void> {
    const keyfold = this.#process(kms);
    for (const { partition, record } of returned) {
      await this.#noting(`the record of ${partition} does not open ${where}`, async () => {
        const payload = await keyfold.session(partition).decryptJson(record);
        if (!payload.equals(payloadOf(partition))) this.faults.push(`the record of ${partition} holds another payload`);
      });
    }
  }

  async #encrypt(): Promise<Returned[]> {
    const keyfold = this.#process(this.#kms);
    const returned: Returned[] = [];
    for (const partition of PARTITIONS) {
      await this.#noting(`nothing can be encrypted for ${partition}`, async () => {
        returned.push({ partition, record: await keyfold.session(partition).encryptToJson(payloadOf(partition)) });
      });
    }
    return returned;
  }

  async #maintain(): Promise<void> {
    const maintenance = new SystemKeyMaintenance({ ...NAMES, kms: this.#kms, metastore: this.#metastore });
    await this.#noting('the maintenance fails', async () => this.#note(await maintenance.run()));
  }

  #note({ systemKeys, createFault }: MaintenanceReport): void {
    if (createFault !== undefined) this.faults.push(`the maintenance makes no key: ${createFault}`);
    for (const { id, state, regions } of systemKeys) {
      const shut = REGIONS.filter((name) => !regions.some(({ region, opens }) => region === name && opens));
      if (state === 'unreadable' || shut.length > 0) this.faults.push(`${id} is ${state}, shut in [${shut.join()}]`);
      for (const { region, fault } of regions) if (fault !== undefined) this.faults.push(`${region}: ${fault}`);
    }
  }

  #process(kms: AwsKms): SessionFactory {
    return new SessionFactory({ ...NAMES, kms, metastore: this.#metastore });
  }

  async #noting(what: string, work: () => Promise<void>): Promise<void> {
    await work().catch((error: unknown) => void this.faults.push(`${what}: ${String(error)}`));
  }
}
