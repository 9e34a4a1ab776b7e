import { beforeEach, expect, it } from 'vitest';
import type { EnvelopeKeyRecord, Metastore } from '../../../src/index.ts';
import type { KeyRowProofs } from '../../../src/envelope/key-dependencies.ts';
import { KeyRotation } from '../../../src/maintenance/key-rotation.ts';
import { KeyNaming, type KeyId, type KeyMeta } from '../../../src/records/ids.ts';
import { codeOf, FakeDependencies, MINUTE_MS } from '../../support/fakes.ts';

const NAMING = new KeyNaming({ service: 'svc', product: 'prod' });
const SYSTEM = NAMING.systemKeyId;
let world: FakeDependencies;
let first: KeyMeta;

beforeEach(async () => {
  world = new FakeDependencies();
  first = (await world.process().session('p').encrypt(Buffer.from('x'))).key.parent as KeyMeta;
  world.clock.advance(MINUTE_MS);
});

function rotate(id: KeyId, keyRowProofs: KeyRowProofs = 'verify'): Promise<KeyMeta | undefined> {
  const { metastore, kms, clock } = world;
  const options = { naming: NAMING, metastore, kms, policy: {}, keyRowProofs };
  return new KeyRotation({ ...options, now: clock.now }).rotate(id);
}

const seconds = (): number => Math.floor(world.clock.nowMs / 1000);
const rowOf = ({ id, created }: KeyMeta): EnvelopeKeyRecord | undefined => world.metastore.rows.get(`${id} ${created}`);

it('a rotation makes a new Intermediate Key under the present System Key, or a new System Key', async () => {
  const key = (await rotate(first.id)) as KeyMeta;
  expect(key.id).toBe(first.id);
  expect(key.created).toBeGreaterThan(first.created);
  expect(key.created).toBeLessThanOrEqual(seconds());
  expect(rowOf(key)).toMatchObject({ ...key, parent: { id: SYSTEM }, revoked: false });
  const system = (await rotate(SYSTEM)) as KeyMeta;
  expect(system.id).toBe(SYSTEM);
  expect(rowOf(system)?.parent).toBeUndefined();
  expect(world.metastore.latest(SYSTEM)?.created).toBe(system.created);
  expect(world.metastore.ofKind('SK')).toHaveLength(2);
  expect(world.metastore.ofKind('IK')).toHaveLength(2);
});

it('a rotation gives KMS and the metastore 30 seconds', async () => {
  const deadlines = new Set<number>();
  world.kms.interfere = (_, { atMs }) => void deadlines.add(atMs);
  world.metastore.interfere = (_, { atMs }) => void deadlines.add(atMs);
  await rotate(SYSTEM);
  expect([...deadlines]).toEqual([world.clock.nowMs + 30_000]);
});

it('a rotation refuses a System Key without a proof if the service requires proofs', async () => {
  const [system] = world.metastore.ofKind('SK');
  if (system !== undefined) world.metastore.change(system, { proof: undefined });
  expect(await codeOf(rotate(first.id, 'require'))).toBe('KeyRowUnreadable');
  expect((await rotate(first.id, 'verify'))?.id).toBe(first.id);
});

it('a rotation asks the metastore for keys dated at most ten minutes ahead, and gives this limit in whole seconds', async () => {
  const asked: unknown[] = [];
  const { metastore } = world;
  const loadRecent = metastore.loadRecent.bind(metastore);
  metastore.loadRecent = (id, notAfter, deadline) => {
    if (id === first.id) asked.push(notAfter);
    return loadRecent(id, notAfter, deadline);
  };
  world.clock.advance(500);
  await rotate(first.id);
  expect(asked[0]).toBe(seconds() + 600);
});

/** Adds a copy of the first key whose date is ahead of the clock. */
function putAhead(aheadSeconds: number): number {
  const created = (seconds() + aheadSeconds) as KeyMeta['created'];
  const { proof: _, ...row } = rowOf(first) as EnvelopeKeyRecord;
  world.metastore.rows.set(`${first.id} ${created}`, { ...row, created });
  return created;
}

it('a rotation dates the next key later than the latest key, even if the latest key is up to ten minutes ahead', async () => {
  const ahead = putAhead(300);
  const key = await rotate(first.id);
  expect(key?.created).toBeGreaterThan(ahead);
  expect(key?.created).toBeLessThanOrEqual(ahead + 60);
});

it('a rotation ignores a key that is dated more than ten minutes ahead, because no process seals under that key', async () => {
  putAhead(3600);
  const key = await rotate(first.id);
  expect(key?.created).toBeGreaterThan(first.created);
  expect(key?.created).toBeLessThanOrEqual(seconds());
});

it('a rotation can make the first key of an ID, and works with a metastore that cannot list recent keys', async () => {
  const empty = new FakeDependencies();
  const { kms, clock } = empty;
  const options = { naming: NAMING, kms, policy: {}, keyRowProofs: 'verify', now: clock.now } as const;
  const made = await new KeyRotation({ ...options, metastore: empty.metastore }).rotate(SYSTEM);
  expect(empty.metastore.ofKind('SK').map(({ id, created }) => ({ id, created }))).toEqual([made]);
  clock.advance(MINUTE_MS);
  const { metastore: all } = empty;
  const metastore: Metastore = {
    load: (...args) => all.load(...args),
    loadLatest: (...args) => all.loadLatest(...args),
    store: (...args) => all.store(...args),
  };
  const next = await new KeyRotation({ ...options, metastore }).rotate(SYSTEM);
  expect(next?.created).toBeGreaterThan(made?.created ?? Infinity);
});

it.for(['IK', 'SK'] as const)(
  'a rotation returns undefined if another process makes the next %s first',
  async (kind) => {
    const id = kind === 'IK' ? first.id : SYSTEM;
    let won: KeyMeta | undefined;
    world.metastore.interfere = async (call) => {
      if (call !== `Put ${kind}`) return;
      world.metastore.interfere = () => {};
      won = await rotate(id);
    };
    expect(await rotate(id)).toBeUndefined();
    expect(world.metastore.latest(id)?.created).toBe(won?.created);
  },
);
