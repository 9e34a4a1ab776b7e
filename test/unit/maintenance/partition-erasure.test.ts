import { beforeEach, expect, it } from 'vitest';
import type { EnvelopeKeyRecord, Erasure } from '../../../src/envelope/ports.ts';
import {
  cryptoPolicy,
  KeyfoldError,
  SessionFactory,
  type KeyMeta,
  type KeyRow,
  type RegisteredErasure,
} from '../../../src/index.ts';
import type { ErasureRegister, ErasureTable, ErasureTables } from '../../../src/maintenance/erasure-table.ts';
import { PartitionErasure } from '../../../src/maintenance/partition-erasure.ts';
import { TOMBSTONE_CREATED } from '../../../src/records/ids.ts';
import { erasureOf } from '../../support/erasure-tables.ts';
import { errorOf, FakeDependencies, MINUTE_MS } from '../../support/fakes.ts';

const NAMES = { service: 'svc', product: 'prod' };
const WAIT_SECONDS = 86_400;
let world: FakeDependencies;
let erasure: PartitionErasure;
/** The entries of the register. */
let entries: RegisteredErasure[];

/** Two keys of the partition, under one System Key. */
beforeEach(async () => {
  world = new FakeDependencies();
  for (let i = 0; i < 2; i += 1) {
    const { key } = await world.process().session('p').encrypt(Buffer.from('x'));
    const row = world.metastore.ofKind('IK').find(({ created }) => created === key.parent.created);
    world.metastore.rows.set(`${row?.id} ${row?.created}`, { ...row, revoked: true } as never);
    world.clock.advance(MINUTE_MS);
  }
  entries = [];
  erasure = erasureOf(world.metastore.rows, world.clock.now, 'p', world.kms, entries);
});

const keyRows = () => world.metastore.ofKind('IK').filter(({ created }) => created !== TOMBSTONE_CREATED);
const marks = (): number => keyRows().filter(({ erased }) => erased !== undefined).length;

it('an erasure zeroes the System Keys that it opens, and gives KMS 30 seconds for each', async () => {
  const deadlines: number[] = [];
  world.kms.interfere = (_, { atMs }) => void deadlines.push(atMs);
  const { systemKeys } = await erasure.read();
  expect(systemKeys.size).toBe(1);
  expect(deadlines).toEqual([world.clock.nowMs + 30_000]);
  for (const key of world.kms.plaintexts) expect(key).toEqual(Buffer.alloc(32));
});

it('an erasure does not trust a System Key whose proof does not hold, and zeroes the key', async () => {
  const [system] = world.metastore.ofKind('SK');
  world.metastore.rows.set(`${system?.id} ${system?.created}`, { ...system, proof: Buffer.alloc(32) } as never);
  expect([...(await erasure.read()).systemKeys.values()]).toEqual(['the proof of its row does not hold']);
  const short = Buffer.alloc(16, 1);
  world.kms.unwrap = async () => ({ key: short });
  expect([...(await erasure.read()).systemKeys.values()]).toEqual(['the proof of its row does not hold']);
  for (const key of [...world.kms.plaintexts, short]) expect(key.every((byte) => byte === 0)).toBe(true);
  // Without a proof, the length of the key is still checked.
  put({ ...system, proof: undefined });
  world.kms.unwrap = async () => ({ key: Buffer.alloc(16, 1) });
  expect([...(await erasure.read()).systemKeys.values()]).toEqual(['the proof of its row does not hold']);
});

it('an erasure can read a table in which the row of a System Key cannot be parsed', async () => {
  put({ id: '_SK_svc_prod', created: 60, unreadable: 'it cannot be parsed' });
  const { systemKeys, ids } = await erasure.read();
  expect([systemKeys.size, ids.length]).toEqual([1, 1]);
});

it('an erasure continues without a System Key that KMS refuses to unwrap, but fails after any other error of KMS', async () => {
  let fault: Error = new KeyfoldError('KmsMisconfigured', 'KMS refuses.');
  world.kms.unwrap = () => Promise.reject(fault);
  expect([...(await erasure.read()).systemKeys.values()]).toEqual(['KMS refuses.']);
  for (fault of [new KeyfoldError('KmsUnavailable', 'KMS is down.'), new TypeError('a bug')]) {
    expect(await errorOf(erasure.read())).toBe(fault);
  }
});

it.for(['begin', 'cancel', 'finish'] as const)(
  'the erasure step "%s" stops between rows if its signal aborts',
  async (step) => {
    if (step !== 'begin') await erasure.begin(await erasure.read(), WAIT_SECONDS);
    const state = await erasure.read();
    const controller = new AbortController();
    const reason = new Error('interrupted');
    const options = { signal: controller.signal, advanced: () => controller.abort(reason) };
    const steps = {
      begin: () => erasure.begin(state, WAIT_SECONDS, options),
      cancel: () => erasure.cancel(state, options),
      finish: () => erasure.finish(state, state.erasure as Erasure, true, options),
    };
    expect(await errorOf(steps[step]())).toBe(reason);
    expect([keyRows().length, marks()]).toEqual(step === 'finish' ? [1, 1] : [2, 1]);
  },
);

it.for([
  [59, 'takes the 60th second as its date'],
  [60, 'is refused'],
] as const)(
  'if each of the next %i seconds is already the date of another erasure, a new erasure %s',
  async ([others]) => {
    const asked: RegisteredErasure[] = [];
    const tables = {
      regions: async () => ['us-west-2'],
      at: () => ({ rows: async () => [] }),
      register: { list: async () => [], add: async (entry: RegisteredErasure) => asked.push(entry) > others },
    };
    const { kms, clock } = world;
    const options = { names: NAMES, partition: 'q', tables, kms, policy: cryptoPolicy(), now: clock.now };
    const empty = { erasure: undefined, ids: [], rows: [], regions: [], systemKeys: new Map() };
    const begun = new PartitionErasure(options as never).begin(empty, WAIT_SECONDS);
    const began = Math.floor(clock.nowMs / 1000);
    const erase = expect.any(String) as string;
    const last = { erase, at: began + 59, due: began + 59 + WAIT_SECONDS };
    const refusal = 'MetastoreUnavailable: Too many erasures began in this minute. Try again later.';
    expect(await begun.catch(({ code, message }: KeyfoldError) => `${code}: ${message}`)).toEqual(
      others === 59 ? last : refusal,
    );
    expect(asked.map(({ at }) => at)).toEqual(Array.from({ length: 60 }, (_, i) => began + i));
  },
);

async function begin(): Promise<Erasure> {
  return erasure.begin(await erasure.read(), WAIT_SECONDS);
}

const seconds = (): number => Math.floor(world.clock.nowMs / 1000);
const tombstones = (): number => world.metastore.ofKind('IK').length - keyRows().length;

it('the register lists an erasure from its beginning until it is cancelled', async () => {
  const begun = await begin();
  expect(entries).toEqual([{ partition: 'p', ...begun }]);
  expect([marks(), tombstones()]).toEqual([2, 1]);
  await erasure.cancel(await erasure.read());
  expect(entries).toEqual([]);
  expect([marks(), tombstones(), keyRows().length]).toEqual([0, 0, 2]);
  expect(keyRows().every(({ revoked }) => revoked)).toBe(true);
});

it('the register keeps the time of the deletion until rows of the partition appear again', async () => {
  const begun = await begin();
  const backup = keyRows();
  const finish = async (): Promise<void> => void (await erasure.finish(await erasure.read(), begun, false));
  const deletedAt = seconds();
  await finish();
  world.clock.advance(MINUTE_MS);
  await finish();
  expect(entries).toEqual([{ partition: 'p', ...begun, deletedAt }]);
  expect([keyRows().length, tombstones()]).toEqual([0, 1]);
  for (const row of backup) world.metastore.rows.set(`${row.id} ${row.created}`, row);
  expect(await begin()).toEqual(begun);
  expect(entries).toEqual([{ partition: 'p', ...begun }]);
  await finish();
  expect(entries).toEqual([{ partition: 'p', ...begun, deletedAt: deletedAt + 60 }]);
});

it('the erasure step "begin" replaces abandoned register entries of its partition, and restores a lost entry of the current erasure', async () => {
  const abandoned = { partition: 'p', erase: 'x', at: 1, due: 2 } as never;
  const others = [
    { partition: 'p', erase: 'y', at: 2, due: 3, deletedAt: 4 },
    { partition: 'q', erase: 'z', at: 3, due: 4 },
  ] as never[];
  entries.push(abandoned, ...others);
  const begun = await begin();
  expect(entries).toEqual([...others, { partition: 'p', ...begun }]);
  entries.length = 0;
  expect(await begin()).toEqual(begun);
  expect(entries).toEqual([{ partition: 'p', ...begun }]);
});

it('an erasure deletes rows that lack the erasure mark only if the operator agrees', async () => {
  const begun = await begin();
  const [first] = keyRows();
  world.metastore.rows.set(`${first?.id} ${first?.created}`, { ...first, erased: undefined } as never);
  const { rows } = await erasure.finish(await erasure.read(), begun, false);
  expect([rows.map(({ marked }) => marked), entries[0]?.deletedAt]).toEqual([[false], undefined]);
  await erasure.finish(await erasure.read(), begun, true);
  expect([keyRows(), entries[0]?.deletedAt]).toEqual([[], seconds()]);
});

/** Writes a row, as an attacker or a restored backup could. */
function put(row: object): void {
  const { id, created } = row as KeyMeta;
  world.metastore.rows.set(`${id} ${created}`, row as never);
}

it('an erasure mark counts only if the row is readable and names a System Key, and the mark has a valid proof', async () => {
  const begun = await begin();
  const [first, second] = keyRows();
  const forged = { ...first?.erased, proof: Buffer.alloc(32) };
  put({ ...first, erased: forged });
  put({ ...second, created: 60, parent: undefined });
  put({ id: second?.id, created: 120, unreadable: 'it cannot be parsed' });
  const state = await erasure.read();
  expect(state.erasure).toEqual(begun);
  expect(state.rows.map(({ row, marked }) => [row.created, marked])).toEqual([
    [first?.created, false],
    [second?.created, true],
    [60, false],
    [120, false],
  ]);
  let advanced = 0;
  await erasure.begin(state, WAIT_SECONDS, { advanced: () => (advanced += 1) });
  expect(advanced).toBe(4);
  expect((await erasure.read()).rows.map(({ marked }) => marked)).toEqual([true, true, false, false]);
  await erasure.cancel(await erasure.read());
  expect(marks()).toBe(0);
});

it('only the newest erasure counts, even if a backup has restored the mark of an older erasure', async () => {
  await begin();
  const [old] = keyRows();
  const oldTombstone = world.metastore.ofKind('IK').find(({ created }) => created === TOMBSTONE_CREATED);
  await erasure.cancel(await erasure.read());
  world.clock.advance(MINUTE_MS);
  const begun = await begin();
  put({ ...old });
  const state = await erasure.read();
  expect(state.erasure).toEqual(begun);
  expect(state.rows.map(({ marked }) => marked)).toEqual([false, true]);
  put({ ...oldTombstone });
  expect((await erasure.read()).ids).toMatchObject([{ buried: false, invalid: { created: TOMBSTONE_CREATED } }]);
});

it('an erasure replaces a forged tombstone, and writes a missing tombstone before it deletes rows', async () => {
  const begun = await begin();
  const tombstone = world.metastore.ofKind('IK').find(({ created }) => created === TOMBSTONE_CREATED);
  put({ ...tombstone, erased: { ...tombstone?.erased, proof: Buffer.alloc(32) } });
  expect((await erasure.read()).ids).toMatchObject([{ buried: false, invalid: { created: TOMBSTONE_CREATED } }]);
  await begin();
  expect((await erasure.read()).ids).toEqual([{ id: tombstone?.id, region: 'us-west-2', buried: true }]);
  world.metastore.rows.delete(`${tombstone?.id} ${TOMBSTONE_CREATED}`);
  await erasure.finish(await erasure.read(), begun, false);
  expect([keyRows().length, tombstones()]).toEqual([0, 1]);
});

it('the newest System Key that is not dated in the future proves a tombstone', async () => {
  const [system] = world.metastore.ofKind('SK');
  const newest = (system?.created ?? 0) + 60;
  for (const created of [newest + 3600, newest]) put({ ...system, created, proof: undefined });
  await begin();
  const tombstone = world.metastore.ofKind('IK').find(({ created }) => created === TOMBSTONE_CREATED);
  expect(tombstone?.parent).toEqual({ id: system?.id, created: newest });
});

it('a step of an erasure replaces a tombstone whose System Key is older than minOpeningCreated', async () => {
  const begun = await begin();
  await erasure.finish(await erasure.read(), begun, true);
  const [system] = world.metastore.ofKind('SK');
  const newest = (system?.created ?? 0) + 60;
  put({ ...system, created: newest, proof: undefined });
  const policy = cryptoPolicy({ minOpeningCreated: newest });
  const later = erasureOf(world.metastore.rows, world.clock.now, 'p', world.kms, entries, policy);
  expect((await later.read()).ids).toMatchObject([{ buried: false, invalid: { created: TOMBSTONE_CREATED } }]);
  const [{ deletedAt } = {}] = entries;
  await later.finish(await later.read(), begun, false);
  const tombstone = world.metastore.ofKind('IK').find(({ created }) => created === TOMBSTONE_CREATED);
  expect(tombstone?.parent).toEqual({ id: system?.id, created: newest });
  expect(entries).toEqual([{ partition: 'p', ...begun, deletedAt }]);
  expect((await later.read()).ids).toEqual([{ id: tombstone?.id, region: 'us-west-2', buried: true }]);
  await expect(world.process({ policy }).session('p').encrypt(Buffer.from('x'))).rejects.toMatchObject({
    code: 'PartitionErased',
  });
});

it('a forged mark under a System Key older than minOpeningCreated changes no erasure with a newer tombstone', async () => {
  const begun = await begin();
  const [system] = world.metastore.ofKind('SK');
  const newest = (system?.created ?? 0) + 60;
  put({ ...system, created: newest, proof: undefined });
  const policy = cryptoPolicy({ minOpeningCreated: newest });
  const later = erasureOf(world.metastore.rows, world.clock.now, 'p', world.kms, entries, policy);
  await later.begin(await later.read(), WAIT_SECONDS);
  const renewed = world.metastore.ofKind('IK').find(({ created }) => created === TOMBSTONE_CREATED);
  expect(renewed?.parent?.created).toBe(newest);

  // The attacker knows the old System Key. The forged erasure is newer, and has no waiting time.
  const { systemKeys } = await later.read();
  const leaked = [...systemKeys.values()].find((key) => typeof key !== 'string' && key.standing.created < newest);
  const [row] = keyRows();
  if (leaked === undefined || typeof leaked === 'string' || row === undefined) throw new Error('no leaked key');
  const forged = { erase: 'forged', at: begun.at + 1, due: begun.at + 1 } as Erasure;
  put({ ...row, erased: { ...forged, proof: leaked.proofOfErasure(row, forged) } });

  const state = await later.read();
  expect([state.erasure, state.rows.map(({ marked }) => marked)]).toEqual([begun, [false, true]]);
  expect(state.ids).toMatchObject([{ buried: true }]);
  expect(await later.begin(state, WAIT_SECONDS)).toEqual(begun);
  expect(entries).toEqual([{ partition: 'p', ...begun }]);
  expect(world.metastore.ofKind('IK')).toContainEqual(renewed);
  expect((await later.read()).rows.map(({ marked }) => marked)).toEqual([true, true]);
});

function nameOf({ id, created }: KeyRow): string {
  return `${id} ${created}`;
}

/**
 * A table with replicas. Each replica has the rows in its map, and each write takes a turn of the event loop. `log`
 * lists the reads and the writes, and `most` is the highest number of writes at the same time.
 */
function replicas(rows: Record<string, Map<string, EnvelopeKeyRecord>>) {
  const log: string[] = [];
  const listed: RegisteredErasure[] = [];
  let active = 0;
  const seen = { most: 0 };
  const write = async (call: string, change: () => unknown): Promise<void> => {
    log.push(call);
    active += 1;
    seen.most = Math.max(seen.most, active);
    await new Promise(setImmediate);
    change();
    active -= 1;
  };
  const all = () => Object.values(rows);
  const at = (region: string): ErasureTable => ({
    rows: async (selection) => {
      const isOne = 'id' in selection;
      log.push(`${region} read ${isOne ? selection.id : selection.prefixes.join()}`);
      const found = [...(rows[region]?.values() ?? [])];
      return found.filter(({ id }) => (isOne ? id === selection.id : selection.prefixes.some((p) => id.startsWith(p))));
    },
    store: (row, replaced) =>
      write(`${region} ${replaced === undefined ? 'store' : 'replace'} ${nameOf(row)}`, () =>
        all().forEach((each) => each.set(nameOf(row), row)),
      ),
    mark: (row, erased) =>
      write(`${region} ${erased ? 'mark' : 'unmark'} ${nameOf(row)}`, () =>
        all().forEach((each) => each.set(nameOf(row), { ...row, erased, revoked: true })),
      ),
    remove: (row) => write(`${region} remove ${nameOf(row)}`, () => all().forEach((each) => each.delete(nameOf(row)))),
  });
  const register: ErasureRegister = {
    list: async () => [...listed],
    add: async (entry) => (await write('add', () => listed.push(entry)), true),
    update: (entry) => write('update', () => listed.splice(0, 1, entry)),
    remove: () => write('remove entry', () => listed.splice(0, 1)),
  };
  const tables = { regions: async () => Object.keys(rows), at, register } as unknown as ErasureTables;
  const taken = (): string[] => log.splice(0).filter((call) => !call.includes(' read '));
  return { tables, log, taken, seen, listed };
}

it('an erasure reads and writes the rows of each ID in the region of that ID, with one write at a time', async () => {
  const { metastore, kms, clock } = new FakeDependencies();
  const sealIn = (regionSuffix: string | undefined, partition: string) =>
    new SessionFactory({ ...NAMES, regionSuffix, metastore, kms, now: clock.now })
      .session(partition)
      .encrypt(Buffer.from('x'));
  await sealIn('us-east-1', 'p');
  clock.advance(MINUTE_MS);
  for (const partition of ['p', 'p_svc_prod', 'q']) await sealIn(undefined, partition);
  await sealIn('eu-west-1', 'p');
  // The scan of the table in us-west-2 does not find the rows that another region has just written.
  const own = new Map([...metastore.rows].filter(([, { id }]) => id !== '_IK_p_svc_prod_eu-west-1'));
  const table = replicas({
    'us-west-2': own,
    'us-east-1': new Map(own),
    'eu-west-1': new Map(metastore.rows),
    'ap-south-1': new Map(own),
  });
  const options = { names: NAMES, tables: table.tables, kms, policy: cryptoPolicy(), now: clock.now };
  const erased = new PartitionErasure({ ...options, partition: 'p' });
  const [oldest, latest] = [...new Set([...metastore.rows.values()].map(({ created }) => created))];
  const ID = '_IK_p_svc_prod';
  const regions = ['us-west-2', 'us-east-1', 'eu-west-1', 'ap-south-1'];

  const state = await erased.read();
  expect(table.log).toEqual([
    `us-west-2 read ${ID},_SK_svc_prod`,
    `us-east-1 read ${ID}_us-east-1`,
    `us-west-2 read ${ID}`,
    `eu-west-1 read ${ID}_eu-west-1`,
    // The scan found no row with these IDs, but the tables of these regions may have new ones.
    `us-west-2 read ${ID}_us-west-2`,
    `ap-south-1 read ${ID}_ap-south-1`,
  ]);
  expect(state.regions).toEqual(regions);
  expect(state.erasure).toBeUndefined();
  const places = [
    [`${ID}_us-east-1`, 'us-east-1'],
    [ID, 'us-west-2'],
    [`${ID}_eu-west-1`, 'eu-west-1'],
  ];
  expect(state.ids.map(({ id, region, buried }) => [id, region, buried])).toEqual(
    places.map((place) => [...place, false]),
  );
  expect(state.rows.map(({ row: { id }, region, marked }) => [id, region, marked])).toEqual(
    places.map((place) => [...place, false]),
  );
  table.taken();

  const begun = await erased.begin(state, WAIT_SECONDS);
  const dated = (verb: string, date?: number): string[] =>
    places.map(([id, region]) => `${region} ${verb} ${id} ${date ?? (region === 'us-east-1' ? oldest : latest)}`);
  expect(table.taken()).toEqual(['add', ...dated('store', TOMBSTONE_CREATED), ...dated('mark')]);
  const tombs = [...own.values()].filter(({ created }) => created === TOMBSTONE_CREATED);
  expect(tombs.map(({ parent, revoked, encryptedKey }) => [parent, revoked, encryptedKey])).toEqual([
    [{ id: '_SK_svc_prod_us-east-1', created: oldest }, true, Buffer.alloc(60)],
    [{ id: '_SK_svc_prod', created: latest }, true, Buffer.alloc(60)],
    [{ id: '_SK_svc_prod_eu-west-1', created: latest }, true, Buffer.alloc(60)],
  ]);
  const after = await erased.read();
  expect([after.erasure, after.rows.map(({ marked }) => marked)]).toEqual([begun, [true, true, true]]);
  // A second beginning has nothing left to write.
  table.taken();
  expect(await erased.begin(after, WAIT_SECONDS)).toEqual(begun);
  expect(table.taken()).toEqual([]);
  expect(await erased.replicas(after)).toEqual(regions.map((region) => ({ region, rows: 3, tombstones: 3 })));

  table.taken();
  await erased.cancel(after);
  expect(table.taken()).toEqual([...dated('unmark'), 'remove entry', ...dated('remove', TOMBSTONE_CREATED)]);
  // A second cancellation has nothing left to write, because no row has a mark.
  await erased.cancel(await erased.read());
  expect(table.taken()).toEqual([]);

  const again = await erased.begin(await erased.read(), WAIT_SECONDS);
  table.taken();
  const { rows } = await erased.finish(await erased.read(), again, false);
  expect(rows).toEqual([]);
  expect(table.taken()).toEqual([...dated('remove'), 'update']);
  expect(table.listed).toEqual([{ partition: 'p', ...again, deletedAt: Math.floor(clock.nowMs / 1000) }]);
  // The keys of the other partitions and the System Keys are still there.
  const left = [...own.values()].filter(({ created }) => created !== TOMBSTONE_CREATED);
  expect(left.map(({ id }) => id).toSorted()).toEqual([
    '_IK_p_svc_prod_svc_prod',
    '_IK_q_svc_prod',
    '_SK_svc_prod',
    '_SK_svc_prod_eu-west-1',
    '_SK_svc_prod_us-east-1',
  ]);
  expect(table.seen.most).toBe(1);
});

it('an erasure proves tombstones only with System Keys that are not older than the minimum date for opening', async () => {
  const [system] = world.metastore.ofKind('SK');
  const created = system?.created ?? 0;
  const options = { partition: 'p', kms: world.kms, now: world.clock.now, names: NAMES };
  const begun = async (minOpeningCreated: number): Promise<unknown> => {
    const { tables } = replicas({ 'us-west-2': new Map(world.metastore.rows) });
    const policy = { ...cryptoPolicy(), minOpeningCreated: minOpeningCreated as never };
    const one = new PartitionErasure({ ...options, tables, policy });
    return one.begin(await one.read(), WAIT_SECONDS).catch((error: unknown) => error);
  };
  expect(await begun(created)).toMatchObject({ erase: expect.any(String) as string });
  expect(await begun(created + 1)).toMatchObject({
    code: 'KmsMisconfigured',
    message: 'No System Key that opens is new enough to prove a mark.',
    cause: new Error(`${system?.id} ${created} is older than the minimum date for opening`),
  });
  world.metastore.rows.delete(`${system?.id} ${created}`);
  const ahead = created + 86_400;
  put({ ...system, created: ahead, proof: undefined });
  expect(await begun(created)).toMatchObject({
    message: 'No System Key opens that can prove a mark.',
    cause: new Error(`${system?.id} ${ahead} is dated in the future`),
  });
  world.kms.unwrap = () => Promise.reject(new KeyfoldError('KmsMisconfigured', 'KMS refuses.'));
  put({ ...system });
  expect(await begun(created)).toMatchObject({ cause: new Error('KMS refuses.; KMS refuses.') });
});

it('an erasure keeps the old tombstone if no System Key can prove a new one', async () => {
  const begun = await begin();
  const tombstone = world.metastore.ofKind('IK').find(({ created }) => created === TOMBSTONE_CREATED);
  const policy = cryptoPolicy({ minOpeningCreated: seconds() });
  const later = erasureOf(world.metastore.rows, world.clock.now, 'p', world.kms, entries, policy);
  const state = await later.read();
  expect(await errorOf(later.finish(state, begun, true))).toMatchObject({ code: 'KmsMisconfigured' });
  expect(world.metastore.ofKind('IK')).toContainEqual(tombstone);
  expect(keyRows()).toHaveLength(2);
});

it('an erasure also writes tombstones for IDs without rows, and for IDs of regions that have no replica', async () => {
  const { metastore, kms, clock } = new FakeDependencies();
  const sealIn = (regionSuffix: string | undefined, partition: string) =>
    new SessionFactory({ ...NAMES, regionSuffix, metastore, kms, now: clock.now })
      .session(partition)
      .encrypt(Buffer.from('x'));
  for (const region of ['ca-central-1', 'ap-south-1', 'sa-east-1']) await sealIn(region, 'p');
  await sealIn('sa-east-1', 'p_svc_prod');
  for (const region of [undefined, 'us-east-1']) await sealIn(region, 'q');
  const ID = '_IK_p_svc_prod';
  const hidden = new Set([
    '_SK_svc_prod_ca-central-1',
    '_SK_svc_prod_ap-south-1',
    '_SK_svc_prod_sa-east-1',
    `${ID}_ap-south-1`,
    `${ID}_sa-east-1`,
  ]);
  const own = new Map([...metastore.rows].filter(([, { id }]) => !hidden.has(id)));
  const recent = [...metastore.rows].filter(([, { id }]) => id === `${ID}_ap-south-1`);
  const table = replicas({
    'us-west-2': own,
    'us-east-1': new Map(own),
    'ap-south-1': new Map([...own, ...recent]),
    'eu-west-1': new Map(own),
  });
  const options = { names: NAMES, partition: 'p', tables: table.tables, kms, policy: cryptoPolicy(), now: clock.now };
  const erased = new PartitionErasure(options);
  const state = await erased.read();
  const places = [
    `us-west-2 store ${ID}`,
    `us-west-2 store ${ID}_ca-central-1`,
    `us-east-1 store ${ID}_us-east-1`,
    `ap-south-1 store ${ID}_ap-south-1`,
  ];
  expect(state.ids.map(({ id, region }) => `${region} store ${id}`).toSorted()).toEqual(places.toSorted());
  table.taken();
  const begun = await erased.begin(state, WAIT_SECONDS);
  // No System Key that Keyfold can open could prove marks on the two rows, so the erasure does not mark them.
  const stores = places.map((place) => `${place} ${TOMBSTONE_CREATED}`);
  expect(table.taken().toSorted()).toEqual(['add', ...stores].toSorted());
  expect(await erased.replicas(await erased.read())).toEqual([
    { region: 'us-west-2', rows: 1, tombstones: 4 },
    { region: 'us-east-1', rows: 1, tombstones: 4 },
    { region: 'ap-south-1', rows: 2, tombstones: 4 },
    { region: 'eu-west-1', rows: 1, tombstones: 4 },
  ]);
  expect((await erased.finish(await erased.read(), begun, true)).rows).toEqual([]);
  expect(table.seen.most).toBe(1);
});

it('an erasure in a database, which has no region, reads only the ID without a region', async () => {
  const table = replicas({ 'PostgreSQL at h:5432': new Map(world.metastore.rows) });
  const { kms, clock } = world;
  const options = { names: NAMES, partition: 'p', tables: table.tables, kms, policy: cryptoPolicy(), now: clock.now };
  await new PartitionErasure(options).read();
  expect(table.log).toEqual([
    'PostgreSQL at h:5432 read _IK_p_svc_prod,_SK_svc_prod',
    'PostgreSQL at h:5432 read _IK_p_svc_prod',
  ]);
});

it('a step of an erasure makes one write at a time when it repairs tombstones and the register', async () => {
  const rows = new Map(world.metastore.rows);
  const table = replicas({ 'us-west-2': rows });
  const { kms, clock } = world;
  const options = { names: NAMES, partition: 'p', tables: table.tables, kms, policy: cryptoPolicy(), now: clock.now };
  const one = new PartitionErasure(options);
  table.listed.push({ partition: one.partition, erase: 'x', at: 1, due: 2 } as never);
  const begun = await one.begin(await one.read(), WAIT_SECONDS);
  expect(table.taken().slice(0, 2)).toEqual(['remove entry', 'add']);
  const backup = [...rows];
  const [name = '', tombstone] = backup.find(([, { created }]) => created === TOMBSTONE_CREATED) ?? [];
  const forge = (): void =>
    void rows.set(name, { ...tombstone, erased: { ...tombstone?.erased, erase: 'y' } } as never);
  const repair = `us-west-2 replace ${name}`;

  forge();
  table.listed.length = 0;
  expect(await one.begin(await one.read(), WAIT_SECONDS)).toEqual(begun);
  expect(table.taken()).toEqual(['add', repair]);
  expect(table.listed).toEqual([{ partition: 'p', ...begun }]);

  forge();
  table.listed.length = 0;
  await one.finish(await one.read(), begun, false);
  // The register has no entry that could get the date of the deletion.
  expect(table.taken().filter((call) => call !== repair)).toHaveLength(2);
  expect(table.listed).toEqual([]);

  table.listed.push({ partition: one.partition, ...begun, deletedAt: 5 });
  for (const [key, row] of backup) rows.set(key, row);
  clock.advance(MINUTE_MS);
  await one.finish(await one.read(), begun, false);
  expect(table.listed).toEqual([{ partition: 'p', ...begun, deletedAt: Math.floor(clock.nowMs / 1000) }]);
  for (const [key, row] of backup) rows.set(key, row);
  table.taken();
  await one.begin(await one.read(), WAIT_SECONDS);
  expect(table.taken()).toEqual(['update']);
  expect(table.listed).toEqual([{ partition: 'p', ...begun }]);
  expect(table.seen.most).toBe(1);
});
