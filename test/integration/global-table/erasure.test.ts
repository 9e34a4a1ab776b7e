import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataRowRecord } from '../../../src/index.ts';
import type { PartitionErasure } from '../../../src/maintenance/partition-erasure.ts';
import { codeOf, DAY_MS } from '../../support/fakes.ts';
import { startRegionalEndpoint, type RegionalEndpoint } from './regional-endpoint.ts';
import { perRegion, REGIONS, startEmulators, TwoRegions, type Emulators, type Region } from './two-regions.ts';

const PAYLOAD = Buffer.from('payload');
const LAG_MS = 60_000;
const WAIT_SECONDS = 86_400;
const [WEST, EAST] = REGIONS;

let emulators: Emulators;
let regional: RegionalEndpoint;
let names = 0;

beforeAll(async () => {
  emulators = await startEmulators();
  regional = await startRegionalEndpoint(emulators.dynamoDb.endpoint, REGIONS);
});
afterAll(() => Promise.all([regional.close(), emulators.dynamoDb.close(), emulators.kms.close()]));

/**
 * Two regions. In each, one record of `tenant` and one of `tenant-2` were sealed. Every row takes the maximum time to
 * reach the other region.
 */
async function open(): Promise<{
  readonly world: TwoRegions;
  readonly records: Record<Region, DataRowRecord>;
  readonly others: Record<Region, DataRowRecord>;
  readonly erasure: () => PartitionErasure;
  readonly opens: (at: Region, of: Region) => Promise<string>;
}> {
  const world = await TwoRegions.open(emulators, { name: `Erase${(names += 1)}`, lagMs: LAG_MS, draw: () => 1 });
  const seal = async (partition: string): Promise<Record<Region, DataRowRecord>> => {
    const sealed = REGIONS.map((region) =>
      world.process(region, { suffixed: true }).session(partition).encrypt(PAYLOAD),
    );
    const [west, east] = await Promise.all(sealed);
    return { ...perRegion(() => west as DataRowRecord), [EAST]: east as DataRowRecord };
  };
  const others = await seal('tenant-2');
  await world.wait(LAG_MS);
  const records = await seal('tenant');
  return {
    world,
    records,
    others,
    erasure: () => world.erasure(WEST, 'tenant', regional.endpoint),
    opens: (at, of) => {
      const work = world.process(at, { suffixed: true }).session('tenant').decrypt(records[of]);
      return work.then(String, () => codeOf(work));
    },
  };
}

async function seals(world: TwoRegions, at: Region): Promise<string> {
  const work = world.process(at, { suffixed: true }).session('tenant').encrypt(PAYLOAD);
  return work.then(
    () => 'sealed',
    () => codeOf(work),
  );
}

describe('an erasure on a Global Table with replication lag', () => {
  it("marks each row in the region that wrote it, even before the row is replicated to the operator's region", async () => {
    const { world, erasure, opens } = await open();
    const before = await erasure().read();
    expect(before.rows.map(({ region }) => region).toSorted()).toEqual([EAST, WEST]);
    await erasure().begin(before, WAIT_SECONDS);
    for (const region of REGIONS) {
      expect([region, await seals(world, region), await opens(region, region)]).toEqual([
        region,
        'PartitionErased',
        'PartitionErased',
      ]);
    }
    await world.wait(LAG_MS);
    for (const at of REGIONS) for (const of of REGIONS) expect(await opens(at, of)).toBe('PartitionErased');
    const replicas = await erasure().replicas(await erasure().read());
    expect(replicas).toEqual(REGIONS.map((region) => ({ region, rows: 2, tombstones: 2 })));
  });

  it('deletes each row in the region that wrote it, and counts the rows that remain in each replica', async () => {
    const { world, erasure, opens, others } = await open();
    const begun = await erasure().begin(await erasure().read(), WAIT_SECONDS);
    await world.wait(DAY_MS);
    const counts = await Promise.all(REGIONS.map(async (region) => (await world.keyTables[region].list()).length));
    const after = await erasure().finish(await erasure().read(), begun, false);
    expect(after.rows).toEqual([]);
    // The deletions have not reached the other region yet.
    const replicas = async (): Promise<number[]> =>
      (await erasure().replicas(await erasure().read())).map(({ rows }) => rows);
    expect(await replicas()).toEqual([1, 1]);
    await world.wait(LAG_MS);
    expect(await replicas()).toEqual([0, 0]);
    for (const at of REGIONS) {
      expect(await seals(world, at)).toBe('PartitionErased');
      for (const of of REGIONS) {
        expect(await opens(at, of)).toBe('PartitionErased');
        const session = world.process(at, { suffixed: true }).session('tenant-2');
        expect(await session.decrypt(others[of])).toEqual(PAYLOAD);
      }
      // The partition's two keys are gone, and all other rows are still there.
      expect((await world.keyTables[at].list()).length).toBe((counts[REGIONS.indexOf(at)] ?? 0) - 2);
    }
  });

  it('takes effect even in a region whose replica is cut off, because each region has its own tombstone', async () => {
    const { world, erasure, opens } = await open();
    world.table.cut();
    await erasure().begin(await erasure().read(), WAIT_SECONDS);
    await world.wait(LAG_MS);
    expect([await seals(world, EAST), await opens(EAST, EAST)]).toEqual(['PartitionErased', 'PartitionErased']);
    world.table.heal();
    await world.wait(LAG_MS);
    expect(await opens(EAST, WEST)).toBe('PartitionErased');
  });

  it('lets every region seal and open again once the erasure is cancelled', async () => {
    const { world, erasure, opens } = await open();
    await erasure().begin(await erasure().read(), WAIT_SECONDS);
    await world.wait(LAG_MS);
    await erasure().cancel(await erasure().read());
    await world.wait(LAG_MS);
    for (const at of REGIONS) {
      expect(await seals(world, at)).toBe('sealed');
      for (const of of REGIONS) expect(await opens(at, of)).toBe('payload');
    }
  });
});
