import { createSecretKey } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { open } from '../../../src/crypto/aead.ts';
import { KeyfoldError, type DataRowRecord, type EnvelopeEvents, type EnvelopeKeyRecord } from '../../../src/index.ts';
import { codeOf, DAY_MS, errorOf, FakeDependencies, MINUTE_MS } from '../../support/fakes.ts';

const PAYLOAD = Buffer.from('payload');
let world: FakeDependencies;

beforeEach(() => {
  world = new FakeDependencies();
});

const rowOf = (record: DataRowRecord): ReturnType<typeof world.metastore.latest> =>
  world.metastore.rows.get(`${record.key.parent.id} ${record.key.parent.created}`);

function revoke(kind: 'SK' | 'IK'): void {
  for (const row of world.metastore.ofKind(kind)) world.metastore.change(row, { revoked: true });
}

describe('key creation', () => {
  it('dates a System Key and an Intermediate Key to the minute, and a Data Row Key to the second', async () => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    const seconds = world.clock.nowMs / 1000;
    expect(record.key.created).toBe(seconds);
    expect(record.key.parent.created).toBe(seconds - (seconds % 60));
    expect(world.metastore.ofKind('SK')[0]?.created).toBe(seconds - (seconds % 60));
  });

  it('gives each new Intermediate Key a later date if the previous key was revoked within its first minute', async () => {
    const dates: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      const record = await world.process().session('p').encrypt(PAYLOAD);
      dates.push(record.key.parent.created);
      revoke('IK');
    }
    expect(dates).toEqual([...new Set(dates)].toSorted((a, b) => a - b));
    expect(dates[1]).toBe(world.clock.nowMs / 1000);
  });

  it('replaces a System Key that was revoked in its first minute', async () => {
    const before = await world.process().session('p').encrypt(PAYLOAD);
    revoke('SK');
    const service = world.process();
    const after = await service.session('p').encrypt(PAYLOAD);
    expect(world.metastore.ofKind('SK').map(({ revoked }) => revoked)).toEqual([true, false]);
    expect(rowOf(after)?.parent?.created).toBe(world.metastore.ofKind('SK')[1]?.created);
    for (const record of [before, after]) expect(await service.session('p').decrypt(record)).toEqual(PAYLOAD);
  });

  it('replaces an Intermediate Key when it expires, and not a millisecond earlier', async () => {
    const service = world.process();
    const first = await service.session('p').encrypt(PAYLOAD);
    world.clock.nowMs = first.key.parent.created * 1000 + 90 * DAY_MS;
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent).toEqual(first.key.parent);
    world.clock.advance(1);
    const second = await service.session('p').encrypt(PAYLOAD);
    expect(second.key.parent.created).toBeGreaterThan(first.key.parent.created);
    expect(world.metastore.ofKind('SK')).toHaveLength(2);
    expect(await service.session('p').decrypt(first)).toEqual(PAYLOAD);
  });

  it('replaces an expired System Key without reading its row again', async () => {
    await world.process().session('other').encrypt(PAYLOAD);
    world.clock.advance(89 * DAY_MS);
    await world.process().session('p').encrypt(PAYLOAD);
    world.clock.advance(2 * DAY_MS);
    world.log.take();
    await world.process().session('p').encrypt(PAYLOAD);
    expect(world.log.take()).toEqual(['Query IK', 'Query SK', 'Wrap', 'Put SK', 'Put IK']);
  });

  it('makes a new key when wearsOut returns true', async () => {
    let exhausted = false;
    const service = world.process({ policy: { wearsOut: () => exhausted } });
    const first = await service.session('p').encrypt(PAYLOAD);
    exhausted = true;
    const next = await service.session('p').encrypt(PAYLOAD);
    expect(next.key.parent.created).toBeGreaterThan(first.key.parent.created);
    exhausted = false;
    expect((await world.process().session('p').encrypt(PAYLOAD)).key.parent).toEqual(next.key.parent);
    expect(await service.session('p').decrypt(first)).toEqual(PAYLOAD);
  });

  it('makes a new key for a rewrap when wearsOut returns true', async () => {
    let exhausted = false;
    const service = world.process({ policy: { wearsOut: () => exhausted } });
    const first = await service.session('p').encrypt(PAYLOAD);
    exhausted = true;
    const next = await service.session('p').encrypt(PAYLOAD);
    const { record } = await service.session('p').rewrap(first);
    expect(record.key.parent.created).toBeGreaterThan(next.key.parent.created);
    expect(await service.session('p').decrypt(record)).toEqual(PAYLOAD);
  });

  it('makes a new key in each process if wearsOut always returns true', async () => {
    const parents = new Set<number>();
    for (let i = 0; i < 5; i += 1) {
      const { key } = await world
        .process({ policy: { wearsOut: () => true } })
        .session('p')
        .encrypt(PAYLOAD);
      parents.add(key.parent.created);
    }
    expect(parents.size).toBe(5);
  });

  it('makes no key under a revoked System Key, even if the cache has room for only one System Key', async () => {
    const policy = { maxSystemKeys: 1 };
    const first = await world.process().session('a').encrypt(PAYLOAD);
    const [one] = world.metastore.ofKind('SK');
    if (one === undefined) throw new Error('no System Key');
    world.metastore.change(one, { revoked: true });
    const second = await world.process().session('b').encrypt(PAYLOAD);
    const service = world.process({ policy });
    await service.session('a').decrypt(first);
    await service.session('b').decrypt(second);
    await service.session('a').decrypt(first);
    const again = await service.session('a').encrypt(PAYLOAD);
    expect(again.key.parent.created).toBeGreaterThan(first.key.parent.created);
  });
});

function opened(parent: Uint8Array, sealed: Uint8Array): Buffer {
  const bytes = open(createSecretKey(parent), sealed);
  if (bytes === undefined) throw new Error('does not open');
  return bytes;
}

describe('the bytes of a key', () => {
  it('are 32 random bytes', async () => {
    const keys: Record<string, Buffer[]> = { system: [], intermediate: [], dataRow: [] };
    for (let i = 0; i < 20; i += 1) {
      const one = new FakeDependencies();
      const record = await one.process().session('p').encrypt(PAYLOAD);
      const [system, intermediate] = [...one.metastore.ofKind('SK'), ...one.metastore.ofKind('IK')];
      const systemKey = opened(Buffer.alloc(32, 7), system?.encryptedKey ?? Buffer.alloc(0));
      const intermediateKey = opened(systemKey, intermediate?.encryptedKey ?? Buffer.alloc(0));
      keys['system']?.push(systemKey);
      keys['intermediate']?.push(intermediateKey);
      keys['dataRow']?.push(opened(intermediateKey, record.key.encryptedKey));
    }
    for (const ofKind of Object.values(keys)) {
      expect(ofKind.map(({ length }) => length)).toEqual(Array(20).fill(32));
      for (let at = 0; at < 32; at += 1) expect(new Set(ofKind.map((bytes) => bytes[at])).size).toBeGreaterThan(10);
    }
  });
});

describe('a process that loses the race to create a key', () => {
  it("uses the winner's Intermediate Key and the System Key above it", async () => {
    const winner = world.process();
    const loser = world.process();
    await loser.session('warm').encrypt(PAYLOAD);
    let won: DataRowRecord | undefined;
    world.metastore.interfere = async (call) => {
      if (call !== 'Put IK' || won !== undefined) return;
      world.metastore.interfere = () => {};
      // The System Key is revoked during the race, so the winner and the loser have different System Keys.
      revoke('SK');
      won = await winner.session('p').encrypt(PAYLOAD);
    };
    const lost = await loser.session('p').encrypt(PAYLOAD);
    expect(lost.key.parent).toEqual(won?.key.parent);
    expect(rowOf(lost)?.parent?.created).toBe(world.metastore.ofKind('SK')[1]?.created);
    expect(world.metastore.ofKind('IK').filter(({ id }) => id === '_IK_p_svc_prod')).toHaveLength(1);
    expect(await winner.session('p').decrypt(lost)).toEqual(PAYLOAD);
    world.log.take();
    expect((await loser.session('p').encrypt(PAYLOAD)).key.parent).toEqual(won?.key.parent);
    expect(world.log.take()).toEqual([]);
  });

  it("unwraps and uses the winner's System Key", async () => {
    world.metastore.interfere = async (call) => {
      if (call !== 'Put SK') return;
      world.metastore.interfere = () => {};
      await world.process().session('other').encrypt(PAYLOAD);
    };
    const service = world.process();
    const record = await service.session('p').encrypt(PAYLOAD);
    expect(world.metastore.ofKind('SK')).toHaveLength(1);
    expect(await world.process().session('p').decrypt(record)).toEqual(PAYLOAD);
  });

  it("makes another key if the winner's key is revoked at once", async () => {
    world.metastore.interfere = async (call) => {
      if (call !== 'Put IK') return;
      world.metastore.interfere = () => {};
      await world.process().session('p').encrypt(PAYLOAD);
      revoke('IK');
    };
    const record = await world.process().session('p').encrypt(PAYLOAD);
    expect(rowOf(record)?.revoked).toBe(false);
  });

  it.for(['IK', 'SK'] as const)(
    'fails with MetastoreUnavailable after losing three races in which the winning key is revoked at once (%s)',
    async (kind) => {
      let races = 0;
      world.metastore.interfere = async (call) => {
        if (call !== `Put ${kind}`) return;
        races += 1;
        const interfere = world.metastore.interfere;
        world.metastore.interfere = () => {};
        await world.process().session('p\u001b').encrypt(PAYLOAD);
        revoke(kind);
        world.metastore.interfere = interfere;
      };
      const error = await errorOf(world.process().session('p\u001b').encrypt(PAYLOAD));
      expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
      // The message must escape the partition's name, because a terminal would interpret the control character in the
      // name.
      const id = kind === 'IK' ? '_IK_p\\u001b_svc_prod' : '_SK_svc_prod';
      expect((error as Error).message).toBe(
        `No usable key of ${id} could be created, because every key found was retired.`,
      );
      expect(races).toBe(3);
    },
  );

  it('fails with MetastoreUnavailable if metastore.store reports a duplicate and metastore.load finds no row', async () => {
    Object.assign(world.metastore, { store: async () => 'duplicate' });
    const error = await errorOf(world.process().session('p').encrypt(PAYLOAD));
    expect(error).toMatchObject({ code: 'MetastoreUnavailable' });
    expect((error as Error).message).toBe('The metastore refused a key row as a duplicate, but does not have it.');
  });

  it('fails with the error that metastore.store throws', async () => {
    const outage = new KeyfoldError('MetastoreUnavailable', 'down');
    for (const failing of ['Put SK', 'Put IK']) {
      world.metastore.interfere = (call) => {
        if (call === failing) throw outage;
      };
      expect(await errorOf(world.process().session('p').encrypt(PAYLOAD))).toBe(outage);
    }
    expect(world.log.take().filter((call) => call.startsWith('Get'))).toEqual([]);
  });
});

describe('a revocation', () => {
  it('stops a warm process from encrypting under the revoked Intermediate Key after the check interval', async () => {
    const service = world.process();
    const before = await service.session('p').encrypt(PAYLOAD);
    revoke('IK');
    world.clock.advance(59 * MINUTE_MS);
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent).toEqual(before.key.parent);
    world.clock.advance(MINUTE_MS);
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent).not.toEqual(before.key.parent);
    expect(await service.session('p').decrypt(before)).toEqual(PAYLOAD);
  });

  it('takes effect after one second if the check interval is one second', async () => {
    const service = world.process({ policy: { revokeCheckIntervalMs: 1000 } });
    const before = await service.session('p').encrypt(PAYLOAD);
    revoke('IK');
    world.clock.advance(1000);
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent).not.toEqual(before.key.parent);
  });

  it('of a System Key takes effect for its Intermediate Keys after one check interval, not two', async () => {
    const service = world.process({ policy: { systemKeyMaxAgeMs: DAY_MS, intermediateKeyMaxAgeMs: DAY_MS } });
    await service.session('first').encrypt(PAYLOAD);
    world.clock.advance(50 * MINUTE_MS);
    const before = await service.session('p').encrypt(PAYLOAD);
    revoke('SK');
    world.clock.advance(10 * MINUTE_MS);
    const after = await service.session('p').encrypt(PAYLOAD);
    expect(after.key.parent.created).toBeGreaterThan(before.key.parent.created);
    expect(world.metastore.ofKind('SK')).toHaveLength(2);
  });

  it("of a System Key takes effect for all partitions as soon as the process has read the key's row", async () => {
    const service = world.process({ policy: { systemKeyMaxAgeMs: DAY_MS, intermediateKeyMaxAgeMs: DAY_MS } });
    await service.session('a').encrypt(PAYLOAD);
    world.clock.advance(30 * MINUTE_MS);
    const b = await service.session('b').encrypt(PAYLOAD);
    revoke('SK');
    world.clock.advance(31 * MINUTE_MS);
    await service.session('a').encrypt(PAYLOAD);
    expect((await service.session('b').encrypt(PAYLOAD)).key.parent).not.toEqual(b.key.parent);
  });

  it('of a System Key is looked for only once for all Intermediate Keys under that System Key', async () => {
    const service = world.process({ policy: { systemKeyMaxAgeMs: 10 * MINUTE_MS, intermediateKeyMaxAgeMs: DAY_MS } });
    await service.session('p').encrypt(PAYLOAD);
    world.clock.advance(5 * MINUTE_MS);
    await service.session('q').encrypt(PAYLOAD);
    world.clock.advance(55 * MINUTE_MS);
    world.log.take();
    await service.session('p').encrypt(PAYLOAD);
    expect(world.log.take()).toEqual(['Query IK', 'Get SK', 'Unwrap']);
    await service.session('q').encrypt(PAYLOAD);
    expect(world.log.take()).toEqual([]);
  });

  it('is looked for with one read of each key row and without a KMS call', async () => {
    const service = world.process({ policy: { systemKeyMaxAgeMs: DAY_MS, intermediateKeyMaxAgeMs: DAY_MS } });
    await service.session('p').encrypt(PAYLOAD);
    world.clock.advance(60 * MINUTE_MS);
    world.log.take();
    await service.session('p').encrypt(PAYLOAD);
    expect(world.log.take()).toEqual(['Query IK', 'Get SK']);
    await service.session('p').encrypt(PAYLOAD);
    expect(world.log.take()).toEqual([]);
  });
});

describe('decrypt', () => {
  it('fails with the usual message of RecordUnreadable if the key row is absent', async () => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    world.metastore.rows.clear();
    const absent = await errorOf(world.process().session('p').decrypt(record));
    const foreign = await errorOf(world.process().session('q').decrypt(record));
    expect(absent).toMatchObject({ code: 'RecordUnreadable', retryable: false });
    expect((absent as Error).message).toBe((foreign as Error).message);
  });

  it.for<[string, (record: DataRowRecord) => DataRowRecord]>([
    [
      'its Intermediate Key is absent',
      ({ key, data }) => ({ key: { ...key, parent: { ...key.parent, created: 60 } }, data }),
    ],
    [
      'it names a key that is not of this partition',
      ({ key, data }) => ({ key: { ...key, parent: { ...key.parent, id: '_IK_q_svc_prod' } }, data }),
    ],
    [
      'the Data Row Key does not open under its Intermediate Key',
      ({ key, data }) => ({ key: { ...key, encryptedKey: Buffer.alloc(60) }, data }),
    ],
    ['the payload does not open under its Data Row Key', ({ key }) => ({ key, data: Buffer.alloc(28) })],
  ])('gives the reason "%s" only as the cause of RecordUnreadable', async ([why, change]) => {
    const session = world.process().session('p');
    const record = await session.encrypt(PAYLOAD);
    expect(await errorOf(session.decrypt(change(record)))).toMatchObject({
      code: 'RecordUnreadable',
      message: 'The record cannot be opened for this partition.',
      cause: { message: why },
    });
  });

  it.for([
    ['NaN', Number.NaN],
    ['not a whole number', 1.5],
    ['an unsafe integer', 2 ** 53],
    ['Infinity', Infinity],
  ] as const)("reads no row, and rejects the record, if the date of the record's key is %s", async ([, created]) => {
    const service = world.process();
    const { key, data } = await service.session('p').encrypt(PAYLOAD);
    world.log.take();
    const record = { key: { ...key, parent: { ...key.parent, created } }, data };
    expect(await codeOf(service.session('p').decrypt(record))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual([]);
  });

  it.for([
    { regionSuffix: 'us-west-2', made: '14 minutes ago', ageMinutes: 14, code: 'KeyNotYetVisible' },
    { regionSuffix: 'us-west-2', made: '15 minutes ago', ageMinutes: 15, code: 'RecordUnreadable' },
    { regionSuffix: 'us-west-2', made: '14 minutes ahead of the clock', ageMinutes: -14, code: 'KeyNotYetVisible' },
    { regionSuffix: 'us-west-2', made: '1000 minutes ahead of the clock', ageMinutes: -1000, code: 'RecordUnreadable' },
    { regionSuffix: undefined, made: '1 minute ago', ageMinutes: 1, code: 'RecordUnreadable' },
  ])('fails with $code for an absent key made $made, if the region suffix is $regionSuffix', async (row) => {
    const record = await world.process({ regionSuffix: row.regionSuffix }).session('p').encrypt(PAYLOAD);
    world.metastore.rows.clear();
    world.clock.nowMs = (record.key.parent.created + row.ageMinutes * 60) * 1000;
    const work = world.process({ regionSuffix: row.regionSuffix }).session('p').decrypt(record);
    expect(await errorOf(work)).toMatchObject({
      code: row.code,
      message:
        row.code === 'RecordUnreadable'
          ? 'The record cannot be opened for this partition.'
          : 'A key of this record may not have been replicated to this region yet.',
    });
  });

  it('fails with KeyNotYetVisible if a new System Key is absent from the table of this region', async () => {
    const regionSuffix = 'us-west-2';
    const record = await world.process({ regionSuffix }).session('p').encrypt(PAYLOAD);
    for (const row of world.metastore.ofKind('SK')) world.metastore.remove(row);
    expect(await codeOf(world.process({ regionSuffix }).session('p').decrypt(record))).toBe('KeyNotYetVisible');
    world.clock.advance(16 * MINUTE_MS);
    expect(await codeOf(world.process({ regionSuffix }).session('p').decrypt(record))).toBe('KeyRowUnreadable');
  });

  it('fails with KeyNotYetVisible if a System Key is absent, and that key or the Intermediate Key under that key is new', async () => {
    const regionSuffix = 'us-west-2';
    await world.process({ regionSuffix }).session('other').encrypt(PAYLOAD);
    world.clock.advance(16 * MINUTE_MS);
    const record = await world.process({ regionSuffix }).session('p').encrypt(PAYLOAD);
    for (const row of world.metastore.ofKind('SK')) world.metastore.remove(row);
    expect(await codeOf(world.process({ regionSuffix }).session('p').decrypt(record))).toBe('KeyNotYetVisible');
    world.clock.advance(16 * MINUTE_MS);
    expect(await errorOf(world.process({ regionSuffix }).session('p').decrypt(record))).toMatchObject({
      code: 'KeyRowUnreadable',
      message: expect.stringMatching(/cannot be read: its System Key is absent\.$/) as string,
    });
    const row = world.metastore.ofKind('IK').at(-1) as EnvelopeKeyRecord;
    const parent = { ...row.parent, created: Math.floor(world.clock.nowMs / 1000) } as EnvelopeKeyRecord['parent'];
    world.metastore.change(row, { parent });
    expect(await codeOf(world.process({ regionSuffix }).session('p').decrypt(record))).toBe('KeyNotYetVisible');
  });

  it.for([
    ['it names no System Key', { parent: undefined }],
    ["its System Key is not this service's", { parent: { id: '_SK_svc_other', created: 60 } }],
    ['its key does not open under its System Key', { encryptedKey: Buffer.alloc(60, 1) }],
    ['its key does not open under its System Key', { encryptedKey: Buffer.alloc(3) }],
  ] as const)('names the row of an Intermediate Key in its error, with the reason "%s"', async ([why, change]) => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    const [row] = world.metastore.ofKind('IK');
    world.metastore.change(row as never, change as never);
    const error = await errorOf(world.process().session('p').decrypt(record));
    expect(error).toMatchObject({ code: 'KeyRowUnreadable' });
    const { created } = record.key.parent;
    expect((error as Error).message).toBe(`The key row _IK_p_svc_prod created ${created} cannot be read: ${why}.`);
  });

  it('names the row in its error if KMS cannot unwrap a System Key', async () => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    const [row] = world.metastore.ofKind('SK');
    world.metastore.change(row as never, { encryptedKey: Buffer.alloc(60, 1) });
    const error = await errorOf(world.process().session('p').decrypt(record));
    expect((error as Error).message).toBe(
      `The key row _SK_svc_prod created ${row?.created} cannot be read: it does not open under the static master key.`,
    );
    expect(await codeOf(world.process().session('p').encrypt(PAYLOAD))).toBe('KeyRowUnreadable');
  });
});

describe('concurrent requests that share one limits object', () => {
  it('encrypt each payload under the key of its partition', async () => {
    const service = world.process();
    const limits = {};
    const partitions = ['p', 'q'];
    const records = await Promise.all(partitions.map((name) => service.session(name).encrypt(PAYLOAD, limits)));
    expect(records.map(({ key }) => key.parent.id)).toEqual(['_IK_p_svc_prod', '_IK_q_svc_prod']);
  });

  it('decrypt each record with the key that it names', async () => {
    const old = await world.process().session('p').encrypt(PAYLOAD);
    world.clock.advance(91 * DAY_MS);
    const young = await world.process().session('p').encrypt(Buffer.from('young'));
    const session = world.process().session('p');
    const limits = {};
    const payloads = await Promise.all([old, young].map((record) => session.decrypt(record, limits)));
    expect(payloads.map(String)).toEqual(['payload', 'young']);
  });
});

describe('rewrap', () => {
  it('returns a record unchanged if it is under the latest key', async () => {
    const session = world.process().session('p');
    const record = await session.encrypt(PAYLOAD);
    const rewrapped = await session.rewrap(record);
    expect(rewrapped).toEqual({ record, rewrapped: false });
    expect(rewrapped.record).toBe(record);
  });

  it('does not call wearsOut for a record under the latest key', async () => {
    let draws = 0;
    const session = world.process({ policy: { wearsOut: () => (draws += 1) > 1 } }).session('p');
    const record = await session.encrypt(PAYLOAD);
    expect((await session.rewrap(record)).rewrapped).toBe(false);
    expect(draws).toBe(1);
  });

  it("moves another region's record to a key of this region, even if both keys have the same date", async () => {
    const record = await world.process({ regionSuffix: 'us-east-1' }).session('p').encrypt(PAYLOAD);
    const session = world.process({ regionSuffix: 'us-west-2' }).session('p');
    const { key } = await session.encrypt(PAYLOAD);
    expect(key.parent.created).toBe(record.key.parent.created);
    const moved = await session.rewrap(record);
    expect(moved.rewrapped).toBe(true);
    expect(moved.record.key.parent).toEqual(key.parent);
    expect(await session.decrypt(moved.record)).toEqual(PAYLOAD);
  });

  it('moves a record from an old key to the latest key, and leaves the payload unchanged', async () => {
    const session = world.process().session('p');
    const old = await session.encrypt(PAYLOAD);
    world.clock.advance(91 * DAY_MS);
    const { record, rewrapped } = await session.rewrap(old);
    expect(rewrapped).toBe(true);
    expect(record.data).toEqual(old.data);
    expect(record.key.created).toBe(old.key.created);
    expect(record.key.parent).toEqual((await session.encrypt(PAYLOAD)).key.parent);
    expect(await world.process().session('p').decrypt(record)).toEqual(PAYLOAD);
  });

  it('rejects a record whose Data Row Key was changed, even if the record is under the latest key', async () => {
    const session = world.process().session('p');
    const record = await session.encrypt(PAYLOAD);
    const tampered = { ...record, key: { ...record.key, encryptedKey: Buffer.alloc(60) } };
    expect(await codeOf(session.rewrap(tampered))).toBe('RecordUnreadable');
    world.clock.advance(91 * DAY_MS);
    expect(await codeOf(session.rewrap(tampered))).toBe('RecordUnreadable');
  });
});

it('a new key stays the same if the KMS changes the key that it gets, or the metastore the row', async () => {
  const { metastore, kms } = world;
  const changing = world.process({
    kms: {
      wrap: async (key, deadline) => {
        const wrapped = await kms.wrap(key, deadline);
        key.fill(0);
        return wrapped;
      },
      unwrap: (wrapped, deadline) => kms.unwrap(wrapped, deadline),
    },
    metastore: {
      load: (id, created, deadline) => metastore.load(id, created, deadline),
      loadLatest: (id, deadline) => metastore.loadLatest(id, deadline),
      store: async (record, deadline) => {
        const stored = await metastore.store(structuredClone(record), deadline);
        if (record.parent !== undefined) Object.assign(record.parent, { created: 0 });
        Object.assign(record, { id: 'prefixed', created: 0, revoked: true });
        return stored;
      },
    },
  });
  const record = await changing.session('p').encrypt(PAYLOAD);
  for (const service of [changing, world.process()]) {
    expect(await service.session('p').decrypt(record)).toEqual(PAYLOAD);
  }
});

describe('events', () => {
  const reported: string[] = [];
  const events: EnvelopeEvents = {
    keyCreated: (kind, key) => void reported.push(`${kind} ${key.created} created`),
    keyRetired: (kind, key, why) => void reported.push(`${kind} ${key.created} ${why}`),
    cacheUsed: (kind, outcome) => void reported.push(`${kind} ${outcome}`),
    servedStale: (key) => void reported.push(`${key.id} stale`),
    markIgnored: (key) => void reported.push(`${key.id} mark ignored`),
    openedUnbound: (key) => void reported.push(`${key.id} unbound`),
  };
  /** Returns the events since the last call that match the pattern. */
  const takeOf = (about: RegExp): string[] => reported.splice(0).filter((line) => about.test(line));
  const KEYS = /\d/;
  const CACHE = /(?:hit|miss|eviction)$/;

  beforeEach(() => void reported.splice(0));

  it('report each new key and the reason why the previous key was retired', async () => {
    const service = world.process({ events });
    const first = (await service.session('p').encrypt(PAYLOAD)).key.parent.created;
    expect(takeOf(KEYS)).toEqual([`system ${first} created`, `intermediate ${first} created`]);
    world.clock.advance(91 * DAY_MS);
    const second = (await service.session('p').encrypt(PAYLOAD)).key.parent.created;
    expect(takeOf(KEYS)).toEqual([
      `system ${second} created`,
      `system ${first} expired`,
      `intermediate ${second} created`,
      `intermediate ${first} expired`,
    ]);
    revoke('SK');
    world.clock.advance(61 * MINUTE_MS);
    const third = (await service.session('p').encrypt(PAYLOAD)).key.parent.created;
    expect(takeOf(KEYS)).toEqual([
      `system ${third} created`,
      `system ${second} revoked`,
      `intermediate ${third} created`,
      `intermediate ${second} parent-retired`,
    ]);
  });

  it.for([
    ['SK', 'system'],
    ['IK', 'intermediate'],
  ] as const)(
    'report the retirement of the $1 key that won a race if this key was revoked at once',
    async ([kind, name]) => {
      await world.process().session('p').encrypt(PAYLOAD);
      world.clock.advance(91 * DAY_MS);
      let raced = 0;
      world.metastore.interfere = async (call) => {
        if (call !== `Put ${kind}`) return;
        world.metastore.interfere = () => {};
        await world.process().session('p').encrypt(PAYLOAD);
        raced = world.metastore.ofKind(kind).at(-1)?.created ?? 0;
        revoke(kind);
      };
      await world.process({ events }).session('p').encrypt(PAYLOAD);
      expect(takeOf(KEYS).filter((line) => line.startsWith(name) && !line.endsWith('created'))).toEqual([
        `${name} ${raced} revoked`,
      ]);
    },
  );

  it('report hits, misses and evictions in the System Key and Intermediate Key caches', async () => {
    const service = world.process({ events, policy: { maxIntermediateKeys: 1, maxSystemKeys: 1 } });
    const record = await service.session('a').encrypt(PAYLOAD);
    expect(takeOf(CACHE)).toEqual(['intermediate miss', 'system miss']);
    await service.session('a').decrypt(record);
    expect(takeOf(CACHE)).toEqual(['intermediate hit']);
    await service.session('b').encrypt(PAYLOAD);
    expect(takeOf(CACHE)).toEqual(['intermediate miss', 'system hit', 'intermediate eviction']);
    world.clock.advance(91 * DAY_MS);
    await service.session('b').encrypt(PAYLOAD);
    takeOf(CACHE);
    await service.session('a').decrypt(record);
    expect(takeOf(CACHE)).toEqual(['intermediate miss', 'system miss', 'system eviction', 'intermediate eviction']);
  });

  it('give their listeners only the ID and the date of each key', async () => {
    const given: Record<string, object> = {};
    const listeners = {
      keyCreated: (kind, key) => void (given[`${kind} created`] = key),
      keyRetired: (kind, key) => void (given[`${kind} retired`] = key),
      servedStale: (key) => void (given['stale'] = key),
      openedUnbound: (key) => void (given['unbound'] = key),
    } satisfies Partial<EnvelopeEvents>;
    const service = world.process({ events: listeners, unboundBefore: world.clock.nowMs / 1000 });
    const record = await service.session('p').encrypt(PAYLOAD);
    await service.session('p').withContext({ id: '1' }).decrypt(record);
    world.clock.advance(91 * DAY_MS);
    const { key } = await service.session('p').encrypt(PAYLOAD);
    world.metastore.interfere = () => Promise.reject(new KeyfoldError('MetastoreUnavailable', 'down'));
    world.clock.advance(61 * MINUTE_MS);
    await service.session('p').encrypt(PAYLOAD);
    const [id, older, newer] = ['_SK_svc_prod', record.key.parent.created, key.parent.created];
    expect(given).toEqual({
      'system created': { id, created: newer },
      'system retired': { id, created: older },
      'intermediate created': key.parent,
      'intermediate retired': record.key.parent,
      stale: key.parent,
      unbound: record.key.parent,
    });
  });

  it('call keyUsed with the key of each record that a session encrypts, decrypts or rewraps', async () => {
    const used: number[] = [];
    const session = world.process().session('p', ({ created }) => void used.push(created));
    const batch = session.batch({ shareDataRowKey: true });
    const old = await batch.encrypt(PAYLOAD);
    await batch.decrypt(old);
    world.clock.advance(91 * DAY_MS);
    const { record } = await session.rewrap(old);
    const [from, to] = [old.key.parent.created, record.key.parent.created];
    expect(used).toEqual([from, from, from, to]);
  });

  it('give keyUsed only the ID and the creation date, in an object that it may change', async () => {
    const given: unknown[] = [];
    const session = world.process().session('p', (key) => {
      given.push({ ...key });
      Object.assign(key, { id: 'hidden', created: 0 });
    });
    const record = await session.encrypt(PAYLOAD);
    expect(await session.decrypt(record)).toEqual(PAYLOAD);
    await session.rewrap(record);
    expect(given).toEqual([record.key.parent, record.key.parent, record.key.parent, record.key.parent]);
    expect(record.key.parent.id).toBe('_IK_p_svc_prod');
  });

  it('fail with the error that keyUsed throws', async () => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    const fault = new Error('the audit log is full');
    const session = world.process().session('p', () => {
      throw fault;
    });
    const calls = [session.encrypt(PAYLOAD), session.decrypt(record), session.rewrap(record)];
    expect(await Promise.all(calls.map((call) => errorOf(call)))).toEqual([fault, fault, fault]);
  });
});
