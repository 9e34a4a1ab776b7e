import { afterEach, beforeEach, expect, it } from 'vitest';
import type { DataRowRecord, SessionFactory } from '../../../src/index.ts';
import { MINUTE_MS } from '../../support/fakes.ts';
import { OperatorFixture } from '../../support/operator.ts';

/** The default of revokeCheckInterval, from which the CLI computes `latestBy`. */
const INTERVAL_MS = 60 * MINUTE_MS;
const PAYLOAD = Buffer.from('payload');
let world: OperatorFixture;

beforeEach(async () => {
  world = await OperatorFixture.start();
});
afterEach(() => world.stop());

/** Revokes a key with the CLI. Returns the printed time until which warm processes may still use the key. */
async function revoke(id: string): Promise<number> {
  const run = await world.keyfold(['keys', 'revoke', id, 'latest', '--yes', '--json']);
  const { outcome, reach } = JSON.parse(run.stdout) as { outcome: string; reach: { latestBy: string } };
  expect(outcome).toBe('revoked');
  return Date.parse(reach.latestBy);
}

/** Encrypts a new record for a partition, and returns the creation time of its key. */
async function keyOf(service: SessionFactory, partition: string): Promise<number> {
  return (await service.session(partition).encrypt(PAYLOAD)).key.parent.created;
}

/** Starts a process that has just read the keys of these partitions. */
async function warm(partitions: readonly string[]): Promise<{ service: SessionFactory; records: DataRowRecord[] }> {
  const service = world.service();
  const records = await Promise.all(partitions.map((partition) => service.session(partition).encrypt(PAYLOAD)));
  return { service, records };
}

it('a warm process stops using a revoked Intermediate Key after revokeCheckInterval, and a cold process at once', async () => {
  const { service, records } = await warm(['p', 'other']);
  const [old, other] = records.map((record) => record.key.parent.created);
  const latestByMs = await revoke('_IK_p_orders_shop');

  expect(await keyOf(service, 'p')).toBe(old);
  const fresh = await keyOf(world.service(), 'p');
  expect(fresh).toBeGreaterThan(old ?? Infinity);

  world.clock.advance(INTERVAL_MS - 1);
  expect(await keyOf(service, 'p')).toBe(old);
  world.clock.advance(1);
  // The process read its keys before the revocation, so it stops using the old key before the time that the CLI prints.
  expect(world.clock.nowMs).toBeLessThanOrEqual(latestByMs);
  expect(await keyOf(service, 'p')).toBe(fresh);
  expect(await keyOf(service, 'other')).toBe(other);
  await expectReadable(service, records);
});

it('a warm process stops using all Intermediate Keys of a revoked System Key after revokeCheckInterval', async () => {
  const { service, records } = await warm(['p', 'q']);
  const olds = records.map((record) => record.key.parent.created);
  await revoke('_SK_orders_shop');

  world.clock.advance(INTERVAL_MS - 1);
  expect(await Promise.all(['p', 'q'].map((partition) => keyOf(service, partition)))).toEqual(olds);
  world.clock.advance(1);
  for (const [i, partition] of ['p', 'q'].entries()) {
    expect(await keyOf(service, partition)).toBeGreaterThan(olds[i] ?? Infinity);
  }
  const list = await world.keyfold(['keys', 'list', '--json']);
  expect(JSON.parse(list.stdout)).toMatchObject([{ state: 'valid' }, { state: 'revoked' }]);
  await expectReadable(service, records);
});

it('rewrap moves a record from a revoked key to another key', async () => {
  const { records } = await warm(['p']);
  const [record] = records;
  await revoke('_IK_p_orders_shop');
  if (record === undefined) throw new Error('no record');
  const moved = await world.service().session('p').rewrap(record);
  expect(moved).toMatchObject({ rewrapped: true });
  expect(moved.record.key.parent.created).toBeGreaterThan(record.key.parent.created);
  await expectReadable(world.service(), [moved.record]);
});

/** Expects that records still decrypt, both in a process of `service` and in a cold one. */
async function expectReadable(service: SessionFactory, records: readonly DataRowRecord[]): Promise<void> {
  for (const record of records) {
    const [, partition = ''] = /^_IK_(.*)_orders_shop$/.exec(record.key.parent.id) ?? [];
    expect(await service.session(partition).decrypt(record)).toEqual(PAYLOAD);
    expect(await world.service().session(partition).decrypt(record)).toEqual(PAYLOAD);
  }
}
