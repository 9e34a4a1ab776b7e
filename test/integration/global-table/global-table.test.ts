import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { KeyRow } from '../../../src/maintenance/key-table.ts';
import {
  KeyfoldError,
  type DataRowRecord,
  type EnvelopeKeyRecord,
  type KeyMeta,
  type SessionFactory,
} from '../../../src/index.ts';
import { wrapsOf } from './ledger.ts';
import { Seeded } from '../../support/seeded.ts';
import { REGIONS, startEmulators, TwoRegions, type Emulators, type Region } from './two-regions.ts';

const [WEST, EAST] = REGIONS;
const LAG_MS = 20_000;
const PAYLOAD = Buffer.from('payload');

let emulators: Emulators;
let world: TwoRegions;
let worlds = 0;

beforeAll(async () => {
  emulators = await startEmulators();
});
afterAll(() => Promise.all([emulators.dynamoDb.close(), emulators.kms.close()]));
beforeEach(async () => {
  const { draw } = new Seeded(1);
  world = await TwoRegions.open(emulators, { name: `scenes-${(worlds += 1)}`, lagMs: LAG_MS, draw });
});

/** The rows of a replica, in a fixed order. */
async function rowsIn(region: Region): Promise<KeyRow[]> {
  const rows = await world.keyTables[region].list();
  return rows.toSorted((a, b) => a.id.localeCompare(b.id) || (a.created ?? 0) - (b.created ?? 0));
}

async function rowIn(region: Region, id: string, created: number | 'latest' = 'latest'): Promise<EnvelopeKeyRecord> {
  const row = await world.keyTables[region].find(id, created);
  if (row === undefined || 'unreadable' in row) throw new Error(`no row ${id} in ${region}`);
  return row;
}

/** Creates a System Key that lacks a wrap for the second region, and waits until both replicas have the key. */
async function keyToRenew(suffixed: boolean): Promise<KeyMeta> {
  world.breakKms(EAST);
  await world.process(WEST, { suffixed }).session('p').encrypt(PAYLOAD);
  world.mendKms();
  await world.wait(LAG_MS);
  return rowIn(WEST, suffixed ? '_SK_svc_prod_us-west-2' : '_SK_svc_prod');
}

/** The state of a key in each replica, once all rows have been replicated. */
async function states({ id, created }: KeyMeta): Promise<object[]> {
  await world.wait(LAG_MS);
  const rows = await Promise.all(REGIONS.map((region) => rowIn(region, id, created)));
  return rows.map((row) => ({ revoked: row.revoked, regions: wrapsOf(row).regions }));
}

describe('the Global Table emulator', () => {
  it('replicates a row once the lag has passed, but not while the regions are disconnected', async () => {
    await world.process(WEST, { suffixed: true }).session('p').encrypt(PAYLOAD);
    expect(await rowsIn(EAST)).toEqual([]);
    await world.wait(LAG_MS);
    expect(await rowsIn(EAST)).toEqual(await rowsIn(WEST));

    world.table.cut();
    await world.process(EAST, { suffixed: true }).session('p').encrypt(PAYLOAD);
    await world.wait(1000 * LAG_MS);
    expect([(await rowsIn(EAST)).length, (await rowsIn(WEST)).length]).toEqual([4, 2]);
    world.table.heal();
    await world.wait(LAG_MS);
    expect(await rowsIn(WEST)).toEqual(await rowsIn(EAST));
  });

  it("keeps the last writer's row in both replicas, in whatever order the writes arrive", async () => {
    const encrypt = (region: Region) => world.process(region, { suffixed: false }).session('p').encrypt(PAYLOAD);
    await Promise.all(REGIONS.map(encrypt));
    world.table.cut();
    await world.keyTables[WEST].revoke(await rowIn(WEST, '_SK_svc_prod'));
    const lastly = await rowIn(EAST, '_IK_p_svc_prod');
    await world.keyTables[EAST].revoke(lastly);
    world.table.heal();
    await world.wait(LAG_MS);
    expect(await rowsIn(WEST)).toEqual(await rowsIn(EAST));
    expect(await rowIn(WEST, '_IK_p_svc_prod')).toEqual({ ...lastly, revoked: true });
    expect((await rowIn(EAST, '_SK_svc_prod')).revoked).toBe(true);
  });
});

describe('a key created in another region', () => {
  it('makes decrypt fail with a retryable error until the key has been replicated', async () => {
    const record = await world.process(WEST, { suffixed: true }).session('p').encrypt(PAYLOAD);
    const reader = world.process(EAST, { suffixed: true });
    expect(await reading(reader, record)).toBe('KeyNotYetVisible');
    await world.wait(LAG_MS);
    expect(await reading(reader, record)).toBe('opened');
  });
});

describe('two regions that create a key in the same minute', () => {
  it.for([
    {
      suffixed: false,
      expected: ['RecordUnreadable', 'RecordUnreadable', 'opened', 'opened'],
      lose: 'without region suffixes, lose one of the two keys',
    },
    {
      suffixed: true,
      expected: ['opened', 'opened', 'opened', 'opened'],
      lose: 'with region suffixes, lose neither key',
    },
  ])('$lose', async ({ suffixed, expected }) => {
    const encrypt = (region: Region) => world.process(region, { suffixed }).session('p').encrypt(PAYLOAD);
    const records = await Promise.all(REGIONS.map(encrypt));
    await world.wait(LAG_MS);
    const reads = REGIONS.flatMap((region) =>
      records.map((record) => reading(world.process(region, { suffixed }), record)),
    );
    expect((await Promise.all(reads)).toSorted()).toEqual(expected);
  });
});

describe('a revocation and a wrap renewal at the same time', () => {
  it('both take effect if the same replica receives both', async () => {
    const key = await keyToRenew(true);
    await Promise.all([world.maintain(WEST, true), world.keyTables[WEST].revoke(key)]);
    const both = { revoked: true, regions: [WEST, EAST] };
    expect(await states(key)).toEqual([both, both]);
  });

  it('conflict if different replicas receive them: the later write undoes the earlier write', async () => {
    const key = await keyToRenew(false);
    await world.keyTables[WEST].revoke(key);
    await world.maintain(EAST, false);
    const undone = { revoked: false, regions: [WEST, EAST] };
    expect(await states(key)).toEqual([undone, undone]);
  });
});

/** Decrypts a record in a process. Returns `opened` or the code of the error. */
async function reading(process: SessionFactory, record: DataRowRecord): Promise<string> {
  try {
    expect(await process.session('p').decrypt(record)).toEqual(PAYLOAD);
    return 'opened';
  } catch (error) {
    if (error instanceof KeyfoldError) return error.code;
    throw error;
  }
}
