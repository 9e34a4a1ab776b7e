import { beforeEach, describe, expect, it } from 'vitest';
import {
  KeyfoldError,
  StaticKms,
  type DataRowRecord,
  type EnvelopeKeyRecord,
  type KeyMeta,
} from '../../../src/index.ts';
import { TOMBSTONE_CREATED } from '../../../src/records/ids.ts';
import { erasureOf } from '../../support/erasure-tables.ts';
import { codeOf, DAY_MS, FakeDependencies, MINUTE_MS } from '../../support/fakes.ts';

const PAYLOAD = Buffer.from('payload');
const WAIT_SECONDS = 86_400;

let world: FakeDependencies;
let record: DataRowRecord;
let ignored: KeyMeta[];

beforeEach(async () => {
  world = new FakeDependencies();
  ignored = [];
  record = await cold().session('p').encrypt(PAYLOAD);
});

function cold(options: Parameters<FakeDependencies['process']>[0] = {}) {
  return world.process({ events: { markIgnored: (key) => void ignored.push(key) }, ...options });
}

async function begin(partition = 'p'): Promise<void> {
  const erasure = erasureOf(world.metastore.rows, world.clock.now, partition);
  await erasure.begin(await erasure.read(), WAIT_SECONDS);
  world.log.take();
}

/** Begins an erasure and deletes the rows after the waiting time. */
async function erase(): Promise<void> {
  await begin();
  world.clock.advance(WAIT_SECONDS * 1000);
  const erasure = erasureOf(world.metastore.rows, world.clock.now);
  const state = await erasure.read();
  if (state.erasure === undefined) throw new Error('no erasure is under way');
  await erasure.finish(state, state.erasure, false);
}

function rowOf(created: number): EnvelopeKeyRecord {
  const found = world.metastore.ofKind('IK').find((each) => each.id.startsWith('_IK_p_') && each.created === created);
  if (found === undefined) throw new Error('the row is absent');
  return found;
}

const keyRow = (): EnvelopeKeyRecord => rowOf(record.key.parent.created);
const tombstone = (): EnvelopeKeyRecord => rowOf(TOMBSTONE_CREATED);

/** The test's record, but with this creation date for its Intermediate Key. */
function named(created: number): DataRowRecord {
  return { ...record, key: { ...record.key, parent: { ...record.key.parent, created } } };
}

/** The results of an encrypt and a decrypt, each in a cold process. */
async function answers(given = record): Promise<string[]> {
  const seal = cold().session('p').encrypt(PAYLOAD);
  const open = cold().session('p').decrypt(given);
  return Promise.all([
    seal.then(
      () => 'sealed',
      () => codeOf(seal),
    ),
    open.then(String, () => codeOf(open)),
  ]);
}

it.for([
  ['the service has no System Key', 7, true, 'the service has no System Key'],
  ['KMS unwraps no System Key', 8, false, 'it does not open under the static master key'],
] as const)('an erasure writes nothing if %s', async ([, byte, isRemoved, why]) => {
  const { rows } = world.metastore;
  for (const [name, { id }] of rows) if (isRemoved && id.startsWith('_SK_')) rows.delete(name);
  const before = new Map(rows);
  const erasure = erasureOf(rows, world.clock.now, 'p', new StaticKms(Buffer.alloc(32, byte), {}));
  const begun = erasure.begin(await erasure.read(), WAIT_SECONDS);
  await expect(begun).rejects.toMatchObject({ code: 'KmsMisconfigured', cause: { message: why } });
  expect(rows).toEqual(before);
});

describe('a partition that is marked for erasure', () => {
  beforeEach(() => begin());

  it('makes every operation in cold processes fail with PartitionErased', async () => {
    expect(await answers()).toEqual(['PartitionErased', 'PartitionErased']);
    const session = cold().session('p');
    expect(await codeOf(session.rewrap(record))).toBe('PartitionErased');
    await expect(session.decrypt(record)).rejects.toMatchObject({
      retryable: false,
      message: 'An operator has erased the keys of this partition.',
    });
    expect(ignored).toEqual([]);
  });

  it('needs the same metastore and KMS calls as an unmarked partition', async () => {
    await codeOf(cold().session('p').decrypt(record));
    expect(world.log.take()).toEqual(['Get IK', 'Get SK', 'Unwrap']);
    await codeOf(cold().session('p').encrypt(PAYLOAD));
    expect(world.log.take()).toEqual(['Query IK', 'Get SK', 'Unwrap']);
  });

  it('stays marked during a KMS outage, in which requests fail with KmsUnavailable', async () => {
    world.kms.interfere = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'down'));
    expect(await answers()).toEqual(['KmsUnavailable', 'KmsUnavailable']);
    expect(ignored).toEqual([]);
  });

  it('does not affect other partitions', async () => {
    const others = ['p2', 'q', 'p_svc_prod', 'ppp'];
    for (const other of others) {
      const sealed = await cold().session(other).encrypt(PAYLOAD);
      expect(await cold().session(other).decrypt(sealed)).toEqual(PAYLOAD);
    }
  });

  it('makes encrypt fail with PartitionErased even if a key was stored after the tombstone', async () => {
    const { parent, encryptedKey } = keyRow();
    world.clock.advance(MINUTE_MS);
    const created = Math.floor(world.clock.nowMs / 1000) as EnvelopeKeyRecord['created'];
    const late = { ...keyRow(), created, parent, encryptedKey, revoked: false, erased: undefined, proof: undefined };
    world.metastore.rows.set(`${late.id} ${created}`, late);
    expect((await answers())[0]).toBe('PartitionErased');
  });

  it('still refuses requests if an attacker deletes the tombstone', async () => {
    world.metastore.remove(tombstone());
    expect(await answers()).toEqual(['PartitionErased', 'PartitionErased']);
  });

  it('opens again after the erasure is cancelled, and seals under a new key', async () => {
    const erasure = erasureOf(world.metastore.rows, world.clock.now);
    await erasure.cancel(await erasure.read());
    world.clock.advance(MINUTE_MS);
    expect(await answers()).toEqual(['sealed', 'payload']);
    expect(keyRow()).toMatchObject({ revoked: true });
    expect(world.metastore.ofKind('IK').filter(({ id }) => id === keyRow().id)).toHaveLength(2);
  });
});

describe('a process that is creating a key while the tombstone is written', () => {
  it('stores a key without a mark, and stops using the key after the check interval', async () => {
    world.metastore.change(keyRow(), { revoked: true });
    world.clock.advance(MINUTE_MS);
    const creator = cold({ policy: { revokeCheckIntervalMs: 10 * MINUTE_MS } }).session('p');
    world.metastore.interfere = async (call) => {
      if (call !== 'Put IK') return;
      world.metastore.interfere = () => {};
      await begin();
    };
    const late = await creator.encrypt(PAYLOAD);
    expect((await answers(late))[0]).toBe('PartitionErased');
    world.clock.advance(10 * MINUTE_MS);
    expect(await codeOf(creator.encrypt(PAYLOAD))).toBe('PartitionErased');
    const { rows } = await erasureOf(world.metastore.rows, world.clock.now).read();
    expect(rows.filter(({ marked }) => marked).map(({ row }) => row.created)).toEqual([record.key.parent.created]);
    expect(rows.filter(({ marked }) => !marked).map(({ row }) => row.created)).toEqual([late.key.parent.created]);
  });
});

describe('an erased partition', () => {
  beforeEach(() => erase());

  it('has only a tombstone as its row, and makes encrypt and decrypt fail with PartitionErased', async () => {
    expect(world.metastore.ofKind('IK').map(({ created }) => created)).toEqual([TOMBSTONE_CREATED]);
    expect(await answers()).toEqual(['PartitionErased', 'PartitionErased']);
  });

  it('has its tombstone read at most once a second, even if records name many keys', async () => {
    world.log.take();
    const session = cold().session('p');
    for (let created = 1; created <= 5; created += 1) {
      expect(await codeOf(session.decrypt(named(created)))).toBe('PartitionErased');
    }
    expect(world.log.take()).toEqual(['Get IK', 'Get IK', 'Get SK', 'Unwrap', ...Array(4).fill('Get IK')]);
    await codeOf(session.decrypt(named(5)));
    expect(world.log.take()).toEqual([]);
    world.clock.advance(1001);
    expect(await codeOf(session.decrypt(named(5)))).toBe('PartitionErased');
    expect(world.log.take()).toEqual(['Get IK', 'Get IK']);
  });

  it.for<[string, () => void]>([
    ['KmsUnavailable', () => (world.kms.interfere = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'down')))],
    [
      'MetastoreUnavailable',
      () => {
        let reads = 0;
        world.metastore.interfere = () => {
          reads += 1;
          if (reads === 2) throw new KeyfoldError('MetastoreUnavailable', 'down');
        };
      },
    ],
  ])('makes decrypt fail with %s if the process cannot read or check the tombstone', async ([code, fail]) => {
    fail();
    expect(await codeOf(cold().session('p').decrypt(record))).toBe(code);
    expect(ignored).toEqual([]);
  });

  it('makes decrypt fail with PartitionErased if a record names the tombstone as its key', async () => {
    const parent = { ...record.key.parent, created: TOMBSTONE_CREATED };
    expect((await answers({ ...record, key: { ...record.key, parent } }))[1]).toBe('PartitionErased');
  });

  it('stays erased when the System Key expires', async () => {
    world.clock.advance(200 * DAY_MS);
    expect(await answers()).toEqual(['PartitionErased', 'PartitionErased']);
  });

  it('can be used again if the System Key of its tombstone is older than minOpeningCreated', async () => {
    const { parent } = tombstone();
    const own = { minOpeningCreated: parent?.created ?? 0 };
    expect(await codeOf(cold({ policy: own }).session('p').encrypt(PAYLOAD))).toBe('PartitionErased');
    const policy = { minOpeningCreated: own.minOpeningCreated + 1 };
    await expect(cold({ policy }).session('p').encrypt(PAYLOAD)).resolves.toBeDefined();
    expect(ignored).toEqual([{ id: tombstone().id, created: TOMBSTONE_CREATED }]);
  });
});

describe('warm processes, after a partition was marked for erasure,', () => {
  const policy = {
    revokeCheckIntervalMs: 10 * MINUTE_MS,
    intermediateKeyMaxAgeMs: 30 * MINUTE_MS,
    staleGraceMs: MINUTE_MS,
  };

  it("stop sealing after revokeCheckIntervalMs, and stop opening records after the key's maximum age", async () => {
    const session = cold({ policy }).session('p');
    await session.decrypt(record);
    await session.encrypt(PAYLOAD);
    await begin();
    world.clock.advance(policy.revokeCheckIntervalMs - 1);
    await expect(session.encrypt(PAYLOAD)).resolves.toBeDefined();
    world.clock.advance(1);
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('PartitionErased');
    await expect(session.decrypt(record)).resolves.toEqual(PAYLOAD);
    world.clock.advance(policy.intermediateKeyMaxAgeMs - policy.revokeCheckIntervalMs);
    expect(await codeOf(session.decrypt(record))).toBe('PartitionErased');
  });

  it('decrypt for at most staleGraceMs longer while the metastore is down', async () => {
    const session = cold({ policy }).session('p');
    await session.decrypt(record);
    await begin();
    world.metastore.interfere = () => Promise.reject(new KeyfoldError('MetastoreUnavailable', 'down'));
    world.clock.advance(policy.intermediateKeyMaxAgeMs + policy.staleGraceMs - 1);
    await expect(session.decrypt(record)).resolves.toEqual(PAYLOAD);
    world.clock.advance(1);
    expect(await codeOf(session.decrypt(record))).toBe('MetastoreUnavailable');
  });

  it('notice the tombstone after a second, even if requests keep naming absent keys', async () => {
    const session = cold({ policy }).session('p');
    expect(await codeOf(session.decrypt(named(1)))).toBe('RecordUnreadable');
    await begin();
    world.clock.advance(999);
    expect(await codeOf(session.decrypt(named(1)))).toBe('RecordUnreadable');
    expect(await codeOf(session.decrypt(named(2)))).toBe('RecordUnreadable');
    world.clock.advance(1);
    for (const created of [1, 2, 3]) expect(await codeOf(session.decrypt(named(created)))).toBe('PartitionErased');
  });

  it('notice after a second that an erasure was cancelled, even if requests keep naming absent keys', async () => {
    await begin();
    const session = cold({ policy }).session('p');
    expect(await codeOf(session.decrypt(named(1)))).toBe('PartitionErased');
    const erasure = erasureOf(world.metastore.rows, world.clock.now);
    await erasure.cancel(await erasure.read());
    world.clock.advance(999);
    expect(await codeOf(session.decrypt(named(1)))).toBe('PartitionErased');
    world.clock.advance(1);
    expect(await codeOf(session.decrypt(named(1)))).toBe('RecordUnreadable');
  });

  it('do not seal again if the metastore fails after they have read the tombstone', async () => {
    const session = cold({ policy }).session('p');
    await session.encrypt(PAYLOAD);
    await begin();
    world.clock.advance(policy.revokeCheckIntervalMs);
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('PartitionErased');
    world.metastore.interfere = () => Promise.reject(new KeyfoldError('MetastoreUnavailable', 'down'));
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
  });
});

describe('an erasure mark without a valid proof', () => {
  const FORGERIES: Record<string, (mark: NonNullable<EnvelopeKeyRecord['erased']>) => Partial<EnvelopeKeyRecord>> = {
    'another proof': (mark) => ({ erased: { ...mark, proof: Buffer.alloc(32, 1) } }),
    'a short proof': (mark) => ({ erased: { ...mark, proof: mark.proof.subarray(1) } }),
    'another due date': (mark) => ({ erased: { ...mark, due: (mark.due - 1) as never } }),
    'another erasure id': (mark) => ({ erased: { ...mark, erase: 'x' } }),
    'no System Key': () => ({ parent: undefined }),
    "another service's System Key": () => ({ parent: { id: '_SK_other_prod' as never, created: 1 as never } }),
    'an absent System Key': (mark) => ({ parent: { id: '_SK_svc_prod' as never, created: mark.at } }),
  };

  it.for(Object.keys(FORGERIES))('does not count as a tombstone if it has %s', async (name) => {
    await begin();
    const { erased } = tombstone();
    const { parent, encryptedKey, proof, id, created } = keyRow();
    world.metastore.change(tombstone(), FORGERIES[name]?.(erased as never) ?? {});
    world.metastore.change(keyRow(), { id, created, parent, encryptedKey, proof, erased: undefined, revoked: false });
    expect(await answers()).toEqual(['sealed', 'payload']);
    expect(ignored).toEqual([{ id: tombstone().id, created: TOMBSTONE_CREATED }]);
  });

  it('is ignored if its System Key belongs to another service, and that System Key is not read', async () => {
    await begin();
    await world.process({ service: 'other' }).session('p').encrypt(PAYLOAD);
    const foreign = world.metastore.ofKind('SK').find(({ id }) => id === '_SK_other_prod') as EnvelopeKeyRecord;
    world.metastore.change(tombstone(), { parent: { id: foreign.id, created: foreign.created } });
    world.metastore.remove(keyRow());
    world.log.take();
    expect(await codeOf(cold().session('p').decrypt(record))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual(['Get IK', 'Get IK']);
  });

  it('is ignored if the row of its System Key cannot be read', async () => {
    await begin();
    const [system] = world.metastore.ofKind('SK') as [EnvelopeKeyRecord];
    const created = (system.created - 60) as EnvelopeKeyRecord['created'];
    world.metastore.change({ ...system, created, encryptedKey: Buffer.alloc(60), proof: undefined }, {});
    world.metastore.change(tombstone(), { parent: { id: system.id, created } });
    world.metastore.remove(keyRow());
    expect(await codeOf(cold().session('p').decrypt(record))).toBe('RecordUnreadable');
    expect(ignored).toEqual([{ id: tombstone().id, created: TOMBSTONE_CREATED }]);
  });

  it("does not count if it comes from another partition's row", async () => {
    const other = await cold().session('q').encrypt(PAYLOAD);
    await begin('q');
    const ofOther = world.metastore.ofKind('IK').find(({ id }) => id === other.key.parent.id);
    world.metastore.change(keyRow(), { erased: ofOther?.erased });
    expect(await answers()).toEqual(['sealed', 'payload']);
    expect(ignored).toHaveLength(2);
  });

  it('does not change the error for an absent key', async () => {
    world.metastore.rows.set(`${keyRow().id} ${TOMBSTONE_CREATED}`, { id: keyRow().id } as never);
    world.metastore.remove(keyRow());
    const open = cold().session('p').decrypt(record);
    expect(await codeOf(open)).toBe('RecordUnreadable');
  });
});
