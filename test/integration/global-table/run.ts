import { regionOfKeyId } from '../../../src/records/ids.ts';
import { Fleet, LEGACY_REGION } from './fleet.ts';
import { Ledger, ReplicaWatch, rowName } from './ledger.ts';
import { RunLog } from './run-log.ts';
import { Seeded } from '../../support/seeded.ts';
import { drawSteps, type Step } from './steps.ts';
import { perRegion, REGIONS, TwoRegions, type Emulators, type Region } from './two-regions.ts';

const STEPS = 100;
const STEPS_A_LOOK = 10;
const PARTITIONS = ['a', 'b', 'c'];
const LAGS_MS = [2000, 30_000, 120_000];
/** A revocation picks one of this many latest rows. */
const REVOCABLE = 6;

/** The result of a run. */
export interface RunResult {
  readonly log: RunLog;
  /** The lost records. After the run, a new process in at least one region could not decrypt them. */
  readonly lost: readonly string[];
}

/**
 * Runs steps on a service in two regions, and waits until all rows have been replicated. A seed determines the steps.
 */
export async function run(emulators: Emulators, seed: number, suffixed: boolean): Promise<RunResult> {
  const seeded = new Seeded(seed);
  const steps = drawSteps(seeded, STEPS);
  const lagMs = LAGS_MS[seed % LAGS_MS.length] ?? 0;
  const name = `run-${seed}-${suffixed ? 'suffixed' : 'unsuffixed'}`;
  const world = await TwoRegions.open(emulators, { name, lagMs, draw: seeded.draw });
  const running = new Run(world, { suffixed, lagMs, seeded });
  // All processes start cold and at the same time.
  for (const partition of PARTITIONS) await running.fleet.encryptAtOnce(partition);
  for (const [i, step] of steps.entries()) {
    await running.perform(step);
    if (i % STEPS_A_LOOK === 0) await running.look();
  }
  return { log: running.log, lost: await running.comeToRest() };
}

class Run {
  readonly log = new RunLog();
  readonly fleet: Fleet;
  readonly #world: TwoRegions;
  readonly #ledger: Ledger;
  readonly #lagMs: number;
  readonly #suffixed: boolean;
  readonly #watches = perRegion((region) => new ReplicaWatch(region));

  constructor(world: TwoRegions, options: { suffixed: boolean; lagMs: number; seeded: Seeded }) {
    this.#world = world;
    this.#lagMs = options.lagMs;
    this.#suffixed = options.suffixed;
    this.#ledger = new Ledger(options.lagMs);
    this.fleet = new Fleet({ world, ledger: this.#ledger, log: this.log, ...options });
  }

  async perform(step: Step): Promise<void> {
    const [a, b, c] = step.pick;
    const region = REGIONS[a % REGIONS.length] ?? LEGACY_REGION;
    const partition = PARTITIONS[b % PARTITIONS.length] ?? '';
    const entry = this.#ledger.entries[b % Math.max(1, this.#ledger.entries.length)];
    await this.#world.wait(step.waitMs);
    this.log.step(`${new Date(this.#world.clock.nowMs).toISOString()} ${step.do} (${step.pick.join(', ')})`);
    this.log.count(step.do);
    switch (step.do) {
      case 'wait':
      case 'wait long':
        break;
      case 'encrypt':
        return this.fleet.encrypt(a, partition);
      case 'encrypt at once':
        return this.fleet.encryptAtOnce(partition);
      case 'decrypt':
        return entry && this.fleet.decrypt(a, entry);
      case 'rewrap':
        return entry && this.fleet.rewrap(a, entry);
      case 'restart':
        return this.fleet.restart(a);
      case 'cut':
        this.#world.table.cut();
        return this.#ledger.cut(this.#world.clock.nowMs);
      case 'heal':
        return this.#heal();
      case 'break KMS':
        return this.#world.breakKms(region);
      case 'mend KMS':
        return this.#world.mendKms();
      case 'replace KMS key':
        return this.#world.replaceKmsKey(region);
      case 'maintain':
        return this.#maintain(region);
      case 'revoke':
        return this.#revoke(region, c);
      case 'maintain and revoke':
        await Promise.all([this.#maintain(region), this.#maintain(region), this.#revoke(region, c)]);
    }
  }

  /** Checks that a replica has lost none of its changes. */
  async look(): Promise<void> {
    for (const region of REGIONS) {
      for (const undone of this.#watches[region].look(await this.#world.keyTables[region].list())) {
        this.log.fault(undone);
      }
    }
  }

  /**
   * Waits until all rows have been replicated, and reads every record. If no record is lost, it maintains the keys and
   * disables the replaced KMS keys. Then it reads every record again in each region, while the region's own KMS is
   * down.
   * @returns the records that were lost
   */
  async comeToRest(): Promise<string[]> {
    this.#world.mendKms();
    this.#heal();
    await this.#arrive();
    const before = this.log.faults.length;
    for (const region of REGIONS) await this.fleet.readEverything(region);
    const lost = this.log.faults.slice(before);
    if (lost.length > 0) return lost;
    for (const region of REGIONS) await this.#maintain(region);
    await this.#arrive();
    await this.#world.disableReplacedKmsKeys();
    for (const region of REGIONS) {
      this.#world.breakKms(region);
      await this.fleet.readEverything(region);
    }
    this.#world.mendKms();
    return [];
  }

  #heal(): void {
    this.#world.table.heal();
    this.#ledger.heal(this.#world.clock.nowMs);
  }

  async #arrive(): Promise<void> {
    await this.#world.wait(2 * this.#lagMs);
    await this.look();
    const [first, second] = await Promise.all(
      REGIONS.map(async (region) => {
        const rows = await this.#world.keyTables[region].list();
        return JSON.stringify(rows.toSorted((x, y) => rowName(x).localeCompare(rowName(y))));
      }),
    );
    if (first !== second) this.log.fault('the replicas differ');
  }

  /**
   * Runs maintenance as docs/explanation/global-tables.md says. Each region maintains its own keys, and one region also
   * maintains the keys without a suffix.
   */
  async #maintain(region: Region): Promise<void> {
    const whose = this.#suffixed && region === LEGACY_REGION ? [true, false] : [this.#suffixed];
    for (const suffixed of whose) {
      const report = await this.log.without(`maintenance in ${region}`, this.#world.maintain(region, suffixed));
      for (const { id, regions, fault } of report?.systemKeys ?? []) {
        if (fault !== undefined) this.log.fault(`maintenance of ${id} in ${region}: ${fault}`);
        this.log.count('wrap renewed', regions.filter(({ renewed }) => renewed).length);
      }
      if (report?.createFault !== undefined) this.log.fault(`no next key in ${region}: ${report.createFault}`);
    }
  }

  /**
   * Revokes one of the latest keys of a region, in the region's own replica. Without region suffixes, the key may
   * belong to any region.
   */
  async #revoke(region: Region, pick: number): Promise<void> {
    const table = this.#world.keyTables[region];
    const rows = (await table.list()).flatMap((row) => ('unreadable' in row || row.revoked ? [] : row));
    const own = rows.filter(({ id }) => !this.#suffixed || (regionOfKeyId(id) ?? LEGACY_REGION) === region);
    const latest = own.toSorted((x, y) => y.created - x.created || x.id.localeCompare(y.id)).slice(0, REVOCABLE);
    const row = latest[pick % Math.max(1, latest.length)];
    if (row === undefined || (await this.log.without('revocation', table.revoke(row))) === undefined) return;
    this.#ledger.revoked(row, this.#world.clock.nowMs);
    this.log.count('revoked');
  }
}
