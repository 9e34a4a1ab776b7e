/** Follows the runbooks for a compromised Intermediate Key and a compromised System Key (docs/runbooks/README.md). */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RunbookFixture, type Sealed } from './runbook-fixture.ts';

let world: RunbookFixture;

beforeEach(async () => {
  world = await RunbookFixture.start();
});
afterEach(() => world.stop());

const createdOf = (record: Sealed): number => record.Key.ParentKeyMeta.Created;

it('after an Intermediate Key is revoked, its partition uses a new key, and other partitions keep theirs', async () => {
  const leaked = await world.encrypt('tenant-1', 'secret');
  const other = await world.encrypt('tenant-2', 'other');
  const { KeyId, Created } = leaked.Key.ParentKeyMeta;
  const key = ['keys', 'revoke', KeyId, String(Created)];

  expect(await world.keyfold([...key, '--dry-run'])).toMatchObject({ outcome: 'would-revoke' });
  expect(await world.keyfold([...key, '--yes', '--reason', 'a laptop was lost'])).toMatchObject({ outcome: 'revoked' });

  expect(createdOf(await world.encrypt('tenant-1', 'after'))).toBeGreaterThan(Created);
  await world.noticed('KeysRetired', { kind: 'intermediate', why: 'revoked' });
  expect(createdOf(await world.encrypt('tenant-2', 'after'))).toBe(createdOf(other));
  expect(await world.keyfold(['keys', 'list', '--partition', 'tenant-1'])).toMatchObject([
    { state: 'valid' },
    { state: 'revoked' },
  ]);

  // A rewrapped record has a new key, but the same sealed payload, so the leaked key can still decrypt it. If the
  // payload is encrypted anew, the leaked key cannot decrypt it.
  const moved = await world.rewrap('tenant-1', leaked);
  expect(createdOf(moved)).toBeGreaterThan(Created);
  expect(moved['Data']).toBe(leaked['Data']);
  const anew = await world.encrypt('tenant-1', await world.decrypt('tenant-1', leaked));
  expect(anew['Data']).not.toBe(leaked['Data']);
});

it('after a System Key is revoked, every partition uses new keys, and all old records still decrypt', async () => {
  const records = [await world.encrypt('tenant-1', 'one'), await world.encrypt('tenant-2', 'two')];
  await world.keyfold(['keys', 'revoke', '_SK_orders_shop', 'latest', '--yes']);

  for (const [i, partition] of ['tenant-1', 'tenant-2'].entries()) {
    const before = records[i] as Sealed;
    expect(createdOf(await world.encrypt(partition, 'after'))).toBeGreaterThan(createdOf(before));
    expect(await world.decrypt(partition, before)).toBe(['one', 'two'][i]);
  }
  await world.noticed('KeysRetired', { kind: 'intermediate', why: 'parent-retired' });
  await world.noticed('KeysRetired', { kind: 'system', why: 'revoked' });
  expect(await world.keyfold(['keys', 'list'])).toMatchObject([{ state: 'valid' }, { state: 'revoked' }]);
});
