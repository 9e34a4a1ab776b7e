import { createSecretKey } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import * as aes from '../../../src/crypto/aead.ts';
import type { CryptoPolicy, DataRowRecord, EnvelopeKeyRecord } from '../../../src/index.ts';
import { codeOf, FakeDependencies, MINUTE_MS } from '../../support/fakes.ts';

const PAYLOAD = Buffer.from('payload');

let world: FakeDependencies;
let leaked: DataRowRecord;
/** The current time, in seconds since 1970. */
let now: number;

beforeEach(async () => {
  world = new FakeDependencies();
  leaked = await world.process().session('p').encrypt(PAYLOAD);
  world.clock.advance(30 * MINUTE_MS);
  now = Math.floor(world.clock.nowMs / 1000);
});

function session(policy: Partial<CryptoPolicy>): ReturnType<ReturnType<FakeDependencies['process']>['session']> {
  return world.process({ policy }).session('p');
}

describe('minSealingCreated', () => {
  it('replaces keys that are older than the minimum, but still lets records under these keys open', async () => {
    const record = await session({ minSealingCreated: now }).encrypt(PAYLOAD);
    expect(record.key.parent.created).toBeGreaterThanOrEqual(now);
    expect(world.metastore.ofKind('SK').map(({ created }) => created >= now)).toEqual([false, true]);
    expect(world.metastore.latest(record.key.parent.id)?.parent?.created).toBeGreaterThanOrEqual(now);
    expect(await session({ minSealingCreated: now }).decrypt(leaked)).toEqual(PAYLOAD);
  });

  it('replaces an Intermediate Key if its System Key is older than the minimum, even if the Intermediate Key is newer', async () => {
    const later = await world.process().session('q').encrypt(PAYLOAD);
    expect(later.key.parent.created).toBeGreaterThan(leaked.key.parent.created);
    const minimum = leaked.key.parent.created + 1;
    const process = world.process({ policy: { minSealingCreated: minimum } });
    const record = await process.session('q').encrypt(PAYLOAD);
    expect(record.key.parent.created).toBeGreaterThan(later.key.parent.created);
  });

  it('becomes the date of a new key if the minimum is ahead of the clock', async () => {
    const record = await session({ minSealingCreated: now + 600 }).encrypt(PAYLOAD);
    expect(record.key.parent.created).toBe(now + 600);
    expect(await session({}).decrypt(record)).toEqual(PAYLOAD);
  });

  it('does not replace a key whose date equals the minimum', async () => {
    const record = await session({ minSealingCreated: leaked.key.parent.created }).encrypt(PAYLOAD);
    expect(record.key.parent).toEqual(leaked.key.parent);
  });
});

describe('minOpeningCreated', () => {
  it('makes records under keys older than the minimum unreadable, and causes no call to KMS or the metastore', async () => {
    const reader = session({ minOpeningCreated: now });
    world.log.take();
    expect(await codeOf(reader.decrypt(leaked))).toBe('RecordUnreadable');
    expect(await codeOf(reader.rewrap(leaked))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual([]);
  });

  it('makes a record unreadable if its System Key is older than the minimum, even if its Intermediate Key is newer', async () => {
    const later = await world.process().session('q').encrypt(PAYLOAD);
    const minimum = leaked.key.parent.created + 1;
    const reader = world.process({ policy: { minOpeningCreated: minimum } }).session('q');
    world.log.take();
    expect(await codeOf(reader.decrypt(later))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual(['Get IK']);
  });

  it('prevents keys older than the minimum from sealing, so every new record can be opened', async () => {
    const writer = session({ minOpeningCreated: now });
    const record = await writer.encrypt(PAYLOAD);
    expect(await session({ minOpeningCreated: now }).decrypt(record)).toEqual(PAYLOAD);
  });

  it('still lets records open if their key was created at exactly the minimum date', async () => {
    expect(await session({ minOpeningCreated: leaked.key.parent.created }).decrypt(leaked)).toEqual(PAYLOAD);
  });
});

/**
 * Changes to the rows by an attacker who knows the older keys, and tries to bring these keys back into use. The changes
 * themselves need no key, only write access to the table.
 */
const ROLLBACKS: Readonly<Record<string, (older: Rows, newer: Rows) => EnvelopeKeyRecord[]>> = {
  'deletes the newer rows': () => [],
  'deletes the row of the newer Intermediate Key': (_, { system }) => [system],
  'deletes the row of the newer System Key': (_, { intermediate }) => [intermediate],
  'writes the older Intermediate Key into the newer row': ({ intermediate }, { system, intermediate: { created } }) => [
    system,
    { ...intermediate, created },
  ],
  'writes the older Intermediate Key without a proof into the newer row': (
    { intermediate },
    { system, intermediate: { created } },
  ) => [system, { ...intermediate, created, proof: undefined }],
  'writes the older Intermediate Key under the newer System Key': ({ intermediate }, { system, intermediate: to }) => [
    system,
    { ...to, encryptedKey: intermediate.encryptedKey, proof: undefined },
  ],
  'writes the older System Key into the newer row': ({ system }, { system: { created }, intermediate }) => [
    { ...system, created },
    intermediate,
  ],
  'revokes the newer keys': (_, { system, intermediate }) => [
    { ...system, revoked: true },
    { ...intermediate, revoked: true },
  ],
  'dates the newer keys ahead': (_, { system, intermediate }) => [
    { ...system, created: (system.created + 9e6) as never },
    { ...intermediate, created: (intermediate.created + 9e6) as never },
  ],
};

/** The rows of one generation of keys. */
interface Rows {
  readonly system: EnvelopeKeyRecord;
  readonly intermediate: EnvelopeKeyRecord;
}

/** Returns the newest row of each kind. */
function newestRows(): Rows {
  const [system, intermediate] = (['SK', 'IK'] as const).map((kind) => world.metastore.ofKind(kind).at(-1));
  return { system, intermediate } as Rows;
}

/** Whether the given Intermediate Key opens the record's Data Row Key. */
function isUnder({ system, intermediate }: Rows, { key }: DataRowRecord): boolean {
  const systemKey = createSecretKey(aes.open(createSecretKey(Buffer.alloc(32, 7)), system.encryptedKey) as Buffer);
  const known = createSecretKey(aes.open(systemKey, intermediate.encryptedKey) as Buffer);
  return aes.open(known, key.encryptedKey) !== undefined;
}

const EVERY = Object.keys(ROLLBACKS).flatMap((attack) =>
  (['verify', 'require'] as const).map((keyRowProofs) => [attack, keyRowProofs] as const),
);

describe('minimum dates', () => {
  it.for(EVERY)('withstand an attacker who %s (mode "%s")', async ([attack, keyRowProofs]) => {
    const older = newestRows();
    const policy = { minSealingCreated: now, minOpeningCreated: now };
    const warm = world.process({ policy, keyRowProofs }).session('p');
    const record = await warm.encrypt(PAYLOAD);
    const newer = newestRows();
    expect([isUnder(older, leaked), isUnder(older, record)]).toEqual([true, false]);

    for (const row of [newer.system, newer.intermediate]) world.metastore.remove(row);
    for (const row of ROLLBACKS[attack]?.(older, newer) ?? []) world.metastore.change(row, {});
    const cold = world.process({ policy, keyRowProofs }).session('p');
    for (const pauseMs of [0, 5 * MINUTE_MS, 61 * MINUTE_MS]) {
      world.clock.advance(pauseMs);
      for (const process of [warm, cold]) {
        const sealed = await process.encrypt(PAYLOAD).catch(() => undefined);
        expect(sealed !== undefined && isUnder(older, sealed)).toBe(false);
        expect(await codeOf(process.decrypt(leaked))).toBe('RecordUnreadable');
        const renamed = { ...leaked, key: { ...leaked.key, parent: record.key.parent } };
        expect(await codeOf(process.decrypt(renamed))).toMatch(/^(?:RecordUnreadable|KeyRowUnreadable)$/);
      }
    }
  });

  it('withstand forged dates of keys older than the minimum only if keyRowProofs is "require"', async () => {
    const older = newestRows();
    const policy = { minSealingCreated: now, minOpeningCreated: now };
    const dated = { created: now as never, proof: undefined };
    const parent = { id: older.system.id, created: now as never };
    for (const row of [older.system, { ...older.intermediate, parent }])
      world.metastore.change({ ...row, ...dated }, {});
    const renamed = { ...leaked, key: { ...leaked.key, parent: { id: older.intermediate.id, created: now } } };
    const sealed = await world.process({ policy }).session('p').encrypt(PAYLOAD);
    expect(isUnder(older, sealed)).toBe(true);
    expect(await world.process({ policy }).session('p').decrypt(renamed)).toEqual(PAYLOAD);
    const strict = world.process({ policy, keyRowProofs: 'require' }).session('p');
    expect(await codeOf(strict.encrypt(PAYLOAD))).toBe('KeyRowUnreadable');
    expect(await codeOf(strict.decrypt(renamed))).toBe('KeyRowUnreadable');
  });
});

describe('a minimum date', () => {
  it.for(['minSealingCreated', 'minOpeningCreated'] as const)('for %s may be at most ten minutes ahead', (name) => {
    expect(() => session({ [name]: now + 601 })).toThrow(`${name} is more than ten minutes ahead of the clock`);
    expect(() => session({ [name]: now + 600 })).not.toThrow();
  });

  it.for([-1, 1.5, Number.NaN])('must not be %f', (value) => {
    expect(() => session({ minSealingCreated: value })).toThrow('minSealingCreated must be');
  });
});
