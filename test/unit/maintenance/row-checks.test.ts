import { expect, it, vi } from 'vitest';
import * as hkdf from '../../../src/crypto/hkdf.ts';
import { cryptoPolicy, type KeyRow } from '../../../src/index.ts';
import type { Deadline } from '../../../src/async/deadline.ts';
import { checkRows, type RowCheck } from '../../../src/maintenance/row-checks.ts';
import { KeyNaming, TOMBSTONE_CREATED } from '../../../src/records/ids.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { FakeDependencies } from '../../support/fakes.ts';

vi.mock('../../../src/crypto/hkdf.ts', { spy: true });

const NAMING = new KeyNaming({ service: 'svc', product: 'prod' });

const ABSENT = keyRecord('', 0);

/** Checks these rows, by default all rows of the table. */
function check(world: FakeDependencies, rows: KeyRow[] = [...world.metastore.rows.values()]): Promise<RowCheck[]> {
  return checkRows(rows, { naming: NAMING, kms: world.kms, policy: cryptoPolicy(), now: world.clock.now });
}

it('a check of rows computes the same proofs that new rows have, and zeroes the keys', async () => {
  const world = new FakeDependencies();
  await world.process().session('p').encrypt(Buffer.from('x'));
  const [system = ABSENT] = world.metastore.ofKind('SK');
  const [intermediate = ABSENT] = world.metastore.ofKind('IK');
  expect((await check(world)).map(({ state }) => state)).toEqual(['proven', 'proven']);
  const { proof, ...unprovenSystem } = system;
  const { proof: other, ...unproven } = intermediate;
  expect(await check(world, [unproven, unprovenSystem])).toMatchObject([
    { state: 'provable', proof },
    { state: 'provable', proof: other },
  ]);
  for (const key of world.kms.plaintexts) expect(key).toEqual(Buffer.alloc(32));
});

it('a check of rows compares proofs in constant time, and refuses a proof of another length', async () => {
  const world = new FakeDependencies();
  await world.process().session('p').encrypt(Buffer.from('x'));
  const [system = ABSENT] = world.metastore.ofKind('SK');
  vi.mocked(hkdf.isEqual).mockClear();
  const states: unknown[] = [];
  for (const proof of [system.proof, Buffer.alloc(32), Buffer.alloc(31)]) {
    states.push((await check(world, [{ ...system, proof }]))[0]?.state);
  }
  expect(states).toEqual(['proven', 'refused', 'refused']);
  expect(vi.mocked(hkdf.isEqual)).toHaveBeenCalledTimes(2);
});

it('a check of rows says why it cannot open a row, and leaves out tombstones and rows of other services', async () => {
  const world = new FakeDependencies();
  await world.process().session('p').encrypt(Buffer.from('x'));
  const [system = ABSENT] = world.metastore.ofKind('SK');
  const [intermediate = ABSENT] = world.metastore.ofKind('IK');
  const unreadable = 'it cannot be parsed';
  const { id, created } = intermediate;
  const { parent, ...orphan } = intermediate;
  const checks = await check(world, [
    { ...intermediate, created: TOMBSTONE_CREATED },
    keyRecord('_IK_p_other_prod', 60),
    keyRecord('_SK_other_prod', 60),
    { id: system.id, created: 60, unreadable },
    keyRecord(system.id, 120),
    system,
    { id, created: 60, unreadable },
    { ...orphan, created },
    { ...intermediate, parent: { id: system.id, created: keyRecord('', 120).created } },
    { ...intermediate, encryptedKey: Buffer.alloc(60) },
  ]);
  expect(checks.map(({ row, state, why }) => [row.id, state, why])).toEqual([
    [system.id, 'refused', unreadable],
    [system.id, 'refused', 'it does not open under the static master key'],
    [system.id, 'proven', undefined],
    [id, 'refused', unreadable],
    [id, 'refused', 'it names no System Key'],
    [id, 'refused', 'its System Key is absent, or does not open'],
    [id, 'refused', 'its key does not open under its System Key'],
  ]);
  expect(parent?.id).toBe(system.id);
});

it('a check of rows refuses a key that does not have 256 bits, and zeroes the key', async () => {
  const world = new FakeDependencies();
  const key = Buffer.alloc(16, 1);
  world.kms.unwrap = async () => ({ key });
  expect(await check(world, [keyRecord('_SK_svc_prod', 60)])).toMatchObject([
    { state: 'refused', why: 'its key does not have 256 bits' },
  ]);
  expect(key).toEqual(Buffer.alloc(16));
});

it('a check of rows opens eight System Keys at a time, each within 30 seconds', async () => {
  const world = new FakeDependencies();
  const deadlines: number[] = [];
  const release: (() => void)[] = [];
  world.kms.interfere = (_, { atMs }: Deadline) => {
    deadlines.push(atMs);
    return new Promise((resolve) => release.push(resolve));
  };
  const rows = Array.from({ length: 20 }, (_, i) => keyRecord('_SK_svc_prod', 60 * i));
  const checks = check(world, rows);
  for (const most of [8, 16, 20]) {
    await new Promise(setImmediate);
    expect(deadlines).toEqual(Array.from({ length: most }, () => world.clock.nowMs + 30_000));
    for (const resolve of release.splice(0)) resolve();
  }
  expect(await checks).toHaveLength(20);
});
