import { KeyfoldError, type DataRowRecord, type KeyMeta, type SessionFactory } from '../../../src/index.ts';
import { DAY_MS, MINUTE_MS } from '../../support/fakes.ts';
import { wrapsOf, type Entry, type Ledger } from './ledger.ts';
import { codeAndWhy, type RunLog } from './run-log.ts';
import type { Seeded } from '../../support/seeded.ts';
import { REGIONS, type Region, type TwoRegions } from './two-regions.ts';

/** A process of the service. It keeps its cache until the test restarts it. */
export interface Process {
  readonly region: Region;
  readonly suffixed: boolean;
  /** The process's clock is ahead of the true time by this many milliseconds. */
  readonly offsetMs: number;
  readonly service: SessionFactory;
}

/** The region of the processes that use no region suffix. */
export const [LEGACY_REGION] = REGIONS;

const PROCESSES_A_REGION = 3;
const MAX_CLOCK_ERROR_MS = 20_000;
/** The average number of seals after which a key is retired. */
const SEALS_OF_A_KEY = 30;
const CHECK_INTERVAL_MS = 60 * MINUTE_MS;
const EXPIRE_AFTER_MS = 90 * DAY_MS;

/** The options of a fleet. */
export interface FleetOptions {
  readonly world: TwoRegions;
  readonly ledger: Ledger;
  readonly log: RunLog;
  readonly seeded: Seeded;
  /** Whether the service uses region suffixes, as it should with a Global Table. */
  readonly suffixed: boolean;
}

/** The processes of a service in two regions. A ledger keeps and checks the records that they return. */
export class Fleet {
  /** Several processes in each region, and one process of an older version, which uses no region suffix. */
  readonly #processes: Process[];
  readonly #options: FleetOptions;

  constructor(options: FleetOptions) {
    this.#options = options;
    const regions = REGIONS.flatMap((region) => Array.from({ length: PROCESSES_A_REGION }, () => region));
    this.#processes = [
      ...regions.map((region) => this.start(region, options.suffixed)),
      this.start(LEGACY_REGION, false),
    ];
  }

  /** Starts a cold process that does not belong to the fleet. */
  start(region: Region, suffixed: boolean): Process {
    const { world, seeded } = this.#options;
    const offsetMs = seeded.below(2 * MAX_CLOCK_ERROR_MS) - MAX_CLOCK_ERROR_MS;
    // Turn off the stale grace period, because it uses real time, which a busy machine distorts. The test does not need
    // it, because DynamoDB never fails here.
    const policy = { wearsOut: () => seeded.below(SEALS_OF_A_KEY) === 0, staleGraceMs: 0 };
    return { region, suffixed, offsetMs, service: world.process(region, { suffixed, offsetMs, policy }) };
  }

  async encrypt(pick: number, partition: string): Promise<void> {
    await this.#encrypt(this.#process(pick), partition);
  }

  /** Makes all processes encrypt for one partition at the same time. */
  async encryptAtOnce(partition: string): Promise<void> {
    await Promise.all(this.#processes.map((process) => this.#encrypt(process, partition)));
  }

  async decrypt(pick: number, entry: Entry): Promise<void> {
    await this.#decrypt(this.#process(pick), entry);
  }

  async rewrap(pick: number, entry: Entry): Promise<void> {
    const process = this.#process(pick);
    if (!process.suffixed && entry.suffixed) return;
    const { partition, payload } = entry;
    try {
      const { record, rewrapped } = await process.service.session(partition).rewrap(entry.record);
      if (rewrapped) await this.#enter(process, { partition, payload, record });
    } catch (error) {
      if (!(this.#lacksKms(error) || (await this.#mayFail(process, entry, error)))) {
        this.#options.log.fault(`rewrap of ${nameOf(entry)} in ${process.region}: ${codeAndWhy(error)}`);
      }
    }
  }

  restart(pick: number): void {
    const at = pick % this.#processes.length;
    const { region, suffixed } = this.#process(pick);
    this.#processes[at] = this.start(region, suffixed);
  }

  /** Decrypts every record in a region, with a cold process. */
  async readEverything(region: Region): Promise<void> {
    const cold = this.start(region, this.#options.suffixed);
    await Promise.all(this.#options.ledger.entries.map((entry) => this.#decrypt(cold, entry)));
  }

  #process(pick: number): Process {
    const process = this.#processes[pick % this.#processes.length];
    if (process === undefined) throw new RangeError('the fleet has no process');
    return process;
  }

  async #encrypt(process: Process, partition: string): Promise<void> {
    const payload = Buffer.from(`payload ${this.#options.ledger.entries.length} of ${partition}`);
    try {
      const record = await process.service.session(partition).encrypt(payload);
      await this.#enter(process, { partition, payload, record });
    } catch (error) {
      if (!this.#lacksKms(error)) {
        this.#options.log.fault(`encrypt for ${partition} in ${process.region}: ${codeAndWhy(error)}`);
      }
    }
  }

  async #decrypt(process: Process, entry: Entry): Promise<void> {
    if (!process.suffixed && entry.suffixed) return;
    const { log } = this.#options;
    const where = `${nameOf(entry)} in ${process.region}`;
    try {
      const payload = await process.service.session(entry.partition).decrypt(entry.record);
      if (!payload.equals(entry.payload)) log.fault(`wrong plaintext of ${where}`);
    } catch (error) {
      if (!(await this.#mayFail(process, entry, error))) log.fault(`${where}: ${codeAndWhy(error)}`);
    }
  }

  /** Enters a process's result into the ledger, and checks that the result's keys were allowed to seal. */
  async #enter(
    process: Process,
    { partition, payload, record }: { partition: string; payload: Buffer; record: DataRowRecord },
  ): Promise<void> {
    const { world, ledger, log } = this.#options;
    const { region, suffixed, offsetMs } = process;
    const { nowMs } = world.clock;
    const { id, created } = record.key.parent;
    const row = await world.keyTables[region].find(id, created);
    if (row === undefined || 'unreadable' in row || row.parent === undefined) {
      return log.fault(`sealed in ${region} under a key that is not there: ${id} ${created}`);
    }
    const keys: KeyMeta[] = [row, row.parent];
    for (const key of keys) {
      if (suffixed !== key.id.endsWith(`_${region}`)) log.fault(`sealed in ${region} under ${key.id}`);
      if (ledger.revokedForMs(key, nowMs) >= CHECK_INTERVAL_MS) log.fault(`sealed under ${key.id}, long revoked`);
      if (nowMs + offsetMs > key.created * 1000 + EXPIRE_AFTER_MS) log.fault(`sealed under ${key.id}, expired`);
    }
    const number = ledger.entries.length;
    ledger.enter({ number, partition, payload, record, home: region, suffixed, keys }, nowMs);
    log.count('record');
  }

  #lacksKms(error: unknown): boolean {
    return (
      this.#options.world.brokenKms !== undefined && error instanceof KeyfoldError && error.code === 'KmsUnavailable'
    );
  }

  /** Whether this error is allowed if a process fails to open a record at this time. */
  async #mayFail(process: Process, entry: Entry, error: unknown): Promise<boolean> {
    const { world, ledger, log } = this.#options;
    if (!(error instanceof KeyfoldError)) return false;
    log.count(error.code);
    const { region, offsetMs } = process;
    const { nowMs } = world.clock;
    if (!this.#lacksKms(error)) {
      return ledger.mayFail(entry, { region, nowMs, clockMs: nowMs + offsetMs }, error.code);
    }
    // KMS may fail only if every region that can open the System Key is down. This replica's row lists those regions.
    const [, { id, created }] = entry.keys as [KeyMeta, KeyMeta];
    const row = await world.keyTables[region].find(id, created);
    if (row === undefined || 'unreadable' in row) return false;
    return wrapsOf(row).regions.every((wrap) => wrap === world.brokenKms);
  }
}

function nameOf({ number, home }: Entry): string {
  return `record ${number} of ${home}`;
}
