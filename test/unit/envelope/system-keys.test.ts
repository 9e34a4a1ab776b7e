/** Tests how long a process keeps System Keys, and how many of them it remembers as revoked. */
import { beforeEach, expect, it } from 'vitest';
import { checkedKms } from '../../../src/envelope/checked-ports.ts';
import { cryptoPolicy, type CryptoPolicy } from '../../../src/envelope/crypto-policy.ts';
import { keyDependencies } from '../../../src/envelope/key-dependencies.ts';
import { NO_ENVELOPE_EVENTS } from '../../../src/envelope/ports.ts';
import { SystemKeys } from '../../../src/envelope/system-keys.ts';
import type { EpochSeconds, KeyMeta } from '../../../src/records/ids.ts';
import { KeyNaming } from '../../../src/records/ids.ts';
import { DAY_MS, FakeDependencies, MINUTE_MS, noDeadline } from '../../support/fakes.ts';

const { systemKeyId: id } = new KeyNaming({ service: 'svc', product: 'prod' });
const noStaleKey = (): undefined => undefined;
let world: FakeDependencies;
let keys: SystemKeys;
let cacheUse: string[];

beforeEach(() => {
  world = new FakeDependencies();
  cacheUse = [];
  // The cache holds two keys for one millisecond. So a later request makes no call only if SystemKeys remembers the
  // revocation.
  keys = systemKeys({ maxSystemKeys: 2, systemKeyMaxAgeMs: 1, flightTimeoutMs: 10_000 });
});

function systemKeys(policy: Partial<CryptoPolicy>): SystemKeys {
  const { metastore, kms, clock } = world;
  return new SystemKeys(
    id,
    keyDependencies({
      metastore,
      kms: checkedKms(kms),
      policy: cryptoPolicy(policy),
      keyRowProofs: 'verify',
      now: clock.now,
      events: { ...NO_ENVELOPE_EVENTS, cacheUsed: (kind, outcome) => void cacheUse.push(`${kind} ${outcome}`) },
    }),
  );
}

/** Stores a revoked System Key that is this many seconds old. */
async function revokedKey(ageSeconds: number): Promise<KeyMeta> {
  const created = (Math.floor(world.clock.now() / 1000) - ageSeconds) as EpochSeconds;
  const encryptedKey = await world.kms.wrap(Buffer.alloc(32, 1), noDeadline());
  await world.metastore.store({ id, created, encryptedKey, revoked: true }, noDeadline());
  world.log.take();
  return { id, created };
}

/** The calls that a request for a revoked key makes. It makes none if the process remembers the revocation. */
async function callsFor(key: KeyMeta): Promise<string[]> {
  world.clock.advance(10);
  expect(await keys.loadUsable(key, noDeadline(), noStaleKey)).toBeUndefined();
  return world.log.take();
}

it('SystemKeys remembers the revocations of maxSystemKeys keys, and forgets the oldest first', async () => {
  const [first, second, third] = [await revokedKey(300), await revokedKey(200), await revokedKey(100)];
  for (const key of [first, second]) expect(await callsFor(key)).toEqual(['Get SK']);
  for (const key of [first, second]) expect(await callsFor(key)).toEqual([]);
  expect(await callsFor(third)).toEqual(['Get SK']);
  for (const key of [second, third]) expect(await callsFor(key)).toEqual([]);
  expect(await callsFor(first)).toEqual(['Get SK']);
});

it("SystemKeys remembers a key's revocation for longer if the key was read again", async () => {
  const [first, second, third] = [await revokedKey(300), await revokedKey(200), await revokedKey(100)];
  for (const key of [first, second]) await callsFor(key);
  await keys.load(first, noDeadline(), noStaleKey);
  expect(world.log.take()).toEqual(['Get SK', 'Unwrap']);
  await callsFor(third);
  expect(await callsFor(first)).toEqual([]);
  expect(await callsFor(second)).toEqual(['Get SK']);
});

it('SystemKeys keeps a key revoked, even if a later read finds a row that is not revoked', async () => {
  const key = await revokedKey(300);
  expect(await callsFor(key)).toEqual(['Get SK']);
  const [row] = world.metastore.ofKind('SK');
  if (row !== undefined) world.metastore.change(row, { revoked: false });
  await keys.load(key, noDeadline(), noStaleKey);
  expect(world.log.take()).toEqual(['Get SK', 'Unwrap']);
  expect(await callsFor(key)).toEqual([]);
});

it('SystemKeys drops keys at their maximum age, even if the policy has a grace period', async () => {
  for (const ageSeconds of [300, 200, 100]) {
    const key = await revokedKey(ageSeconds);
    world.clock.advance(10);
    await keys.load(key, noDeadline(), noStaleKey);
  }
  // The cache holds two keys. If it kept the first two, it would have to evict one of them for the third.
  expect(cacheUse).toEqual(Array(3).fill('system miss'));
});

it('SystemKeys gives each call to the metastore or the KMS at most flightTimeoutMs', async () => {
  const key = await revokedKey(300);
  const calls: string[] = [];
  world.metastore.interfere = (call, { atMs }) => void calls.push(`${call} ${atMs - world.clock.now()}`);
  world.kms.interfere = world.metastore.interfere;
  await keys.load(key, noDeadline(), noStaleKey);
  await keys.latest(noDeadline());
  expect(calls).toEqual(['Get SK', 'Unwrap', 'Query SK', 'Wrap', 'Put SK'].map((call) => `${call} 10000`));
});

it('SystemKeys makes new keys under the latest System Key, even if it has just used an older one', async () => {
  const [older, later] = [await revokedKey(200), await revokedKey(100)];
  for (const row of world.metastore.ofKind('SK')) world.metastore.change(row, { revoked: false });
  expect((await keys.latest(noDeadline())).toJSON()).toEqual(later);
  expect((await keys.loadUsable(older, noDeadline(), noStaleKey))?.toJSON()).toEqual(older);
  expect((await keys.latest(noDeadline())).toJSON()).toEqual(later);
});

it('SystemKeys reads the row of a cached key once in a check interval, even if it has loaded other keys', async () => {
  const rows = [await revokedKey(300), await revokedKey(200), await revokedKey(100)] as const;
  for (const row of world.metastore.ofKind('SK')) world.metastore.change(row, { revoked: false });
  const [first, second, third] = rows;
  keys = systemKeys({ maxSystemKeys: 2, systemKeyMaxAgeMs: DAY_MS });
  for (const key of [first, second, first, third]) await keys.load(key, noDeadline(), noStaleKey);
  expect(cacheUse.slice(2)).toEqual(['system hit', 'system miss', 'system eviction']);
  world.clock.advance(60 * MINUTE_MS);
  world.log.take();
  for (const calls of [['Get SK'], []]) {
    expect((await keys.loadUsable(first, noDeadline(), noStaleKey))?.toJSON()).toEqual(first);
    expect(world.log.take()).toEqual(calls);
  }
});
