import { describe, expect, it, vi } from 'vitest';
import {
  decodeCompactRecord,
  decodeDataRowRecord,
  encodeCompactRecord,
  encodeDataRowRecord,
  KeyfoldError,
  type DataRowRecord,
  type EnvelopeKeyRecord,
  type KeyMeta,
  type Session,
  type SessionFactoryOptions,
} from '../../../src/index.ts';
import { NO_ENVELOPE_EVENTS, type EnvelopeEvents } from '../../../src/envelope/ports.ts';
import { codeOf, DAY_MS, FakeDependencies } from '../../support/fakes.ts';

const HOME = { table: 'users', id: '42' };
const AWAY = { table: 'users', id: '43' };
const SECRET = Buffer.from('secret');

function open(options: Partial<SessionFactoryOptions> = {}, world = new FakeDependencies()): Session {
  return world.process(options).session('tenant-1');
}

/** Every way in which an attacker without a key may edit a record's proof. */
const EDITS: Readonly<Record<string, (record: DataRowRecord, other: DataRowRecord) => DataRowRecord>> = {
  'its proof stripped': ({ key, data }) => ({ key, data }),
  'the proof of another record': (record, { proof }) => ({ ...record, proof }),
  'a proof with one bit changed': (record) => ({ ...record, proof: flipped(record.proof ?? Buffer.alloc(32)) }),
  'a proof of zeros': (record) => ({ ...record, proof: Buffer.alloc(32) }),
  'the payload of another record': (record, { data }) => ({ ...record, data }),
  'the key of another record': (record, { key }) => ({ ...record, key }),
  'the payload and the key of another record': (record, { key, data }) => ({ ...record, key, data }),
  'a payload cut to its last 28 bytes': (record) => ({ ...record, data: record.data.subarray(-28) }),
  'a payload that is too short': (record) => ({ ...record, data: record.data.subarray(-27) }),
  'a payload with its first bit changed': (record) => ({ ...record, data: flipped(record.data) }),
};

describe('a session with a context', () => {
  it('encrypts records that open in another process, in every format', async () => {
    const world = new FakeDependencies();
    const session = open({}, world).withContext(HOME);
    const record = await session.encrypt(SECRET);
    expect(record.proof).toHaveLength(32);
    const reader = open({}, world).withContext({ id: '42', table: 'users' });
    expect(await reader.decrypt(record)).toEqual(SECRET);
    expect(await reader.decrypt(decodeDataRowRecord(encodeDataRowRecord(record)))).toEqual(SECRET);
    const compact = encodeCompactRecord(record, 'bytes') ?? '';
    expect(await reader.decrypt(decodeCompactRecord(compact).record)).toEqual(SECRET);
    const text = await session.encryptToJson(SECRET);
    expect(Object.keys(JSON.parse(text) as object)).toEqual(['Key', 'Proof', 'Data']);
    expect(await reader.decryptJson(text)).toEqual(SECRET);
    const { Key, Proof, Data } = JSON.parse(text) as Record<string, unknown>;
    expect(await reader.decryptJson(JSON.stringify({ Proof, Data, Key }))).toEqual(SECRET);
  });

  it.for([
    ['another value', AWAY],
    ['another name', { table: 'users', ID: '42' }],
    ['one entry more', { ...HOME, version: '1' }],
    ['one entry less', { table: 'users' }],
    ['another normalisation', { ...HOME, id: '４２' }],
  ])("refuses a record if the session's context has %s", async ([, context]) => {
    const session = open();
    const record = await session.withContext(HOME).encrypt(SECRET);
    expect(await codeOf(session.withContext(context as typeof HOME).decrypt(record))).toBe('RecordUnreadable');
  });

  it.for([
    ['another form (bytes instead of JSON)', { form: 'json' }],
    ['another path', { path: "$['a']" }],
  ] as const)('refuses a record that was sealed with %s', async ([, place]) => {
    const session = open();
    const record = await session.withContext(HOME).encrypt(SECRET);
    expect(await codeOf(session.withContext(HOME, place).decrypt(record))).toBe('RecordUnreadable');
  });

  it.for(Object.keys(EDITS))('refuses a record with %s', async (name) => {
    const session = open();
    const bound = session.withContext(HOME);
    const [record, other] = [await bound.encrypt(SECRET), await session.withContext(AWAY).encrypt(SECRET)];
    const edited = EDITS[name]?.(record, other) as DataRowRecord;
    expect(await codeOf(bound.decrypt(edited))).toBe('RecordUnreadable');
    expect(await codeOf(bound.decryptJson(encodeDataRowRecord(edited)))).toBe('RecordUnreadable');
  });

  it('refuses records that were swapped, even if they share a Data Row Key', async () => {
    const batch = open().batch({ shareDataRowKey: true });
    const [home, away] = [batch.withContext(HOME), batch.withContext(AWAY)];
    const records = [await home.encrypt(Buffer.from('low')), await away.encrypt(Buffer.from('high'))] as const;
    expect(records[0].key).toEqual(records[1].key);
    expect(await codeOf(home.decrypt(records[1]))).toBe('RecordUnreadable');
    expect(await codeOf(home.decrypt({ ...records[1], proof: records[0].proof }))).toBe('RecordUnreadable');
    expect(await home.decrypt(records[0])).toEqual(Buffer.from('low'));
  });

  it('uses the context as it was when the session was created', async () => {
    const session = open();
    const context = { ...HOME };
    const bound = session.withContext(context);
    context.id = '43';
    const sealing = bound.encrypt(SECRET);
    expect(await session.withContext(HOME).decrypt(await sealing)).toEqual(SECRET);
  });

  it("keeps a record's proof when it rewraps the record", async () => {
    const world = new FakeDependencies();
    const session = open({}, world);
    const record = await session.withContext(HOME).encrypt(SECRET);
    world.clock.advance(91 * DAY_MS);
    const { record: moved, rewrapped } = await open({}, world).rewrap(record);
    expect(rewrapped).toBe(true);
    expect(moved.key.parent.created).toBeGreaterThan(record.key.parent.created);
    expect(moved.proof).toEqual(record.proof);
    expect(await open({}, world).withContext(HOME).decrypt(moved)).toEqual(SECRET);
    expect(await codeOf(open({}, world).withContext(AWAY).decrypt(moved))).toBe('RecordUnreadable');
  });
});

describe('a batch session', () => {
  it('keeps the context of the session that made it', async () => {
    const session = open();
    const batches = [session, session.withContext(HOME)].map((from) => from.batch({ shareDataRowKey: true }));
    expect(batches.map(({ hasContext }) => hasContext)).toEqual([false, true]);
    const [, bound] = batches as [typeof session, typeof session];
    const record = await bound.encrypt(SECRET);
    expect(await session.withContext(HOME).decrypt(record)).toEqual(SECRET);
    expect(await codeOf(session.withContext(AWAY).decrypt(record))).toBe('RecordUnreadable');
  });
});

describe('a session without a context', () => {
  it('throws ContextRequired for a bound record before the session reads a key', async () => {
    const world = new FakeDependencies();
    const record = await open({}, world).withContext(HOME).encrypt(SECRET);
    world.log.take();
    const reader = open({}, world);
    await expect(reader.decrypt(record)).rejects.toMatchObject({
      code: 'ContextRequired',
      message: 'A context is required: give the context that the record is bound to.',
    });
    expect(await codeOf(reader.decryptJson(encodeDataRowRecord(record)))).toBe('ContextRequired');
    expect(world.log.take()).toEqual([]);
  });

  it('opens a record whose proof was removed', async () => {
    const session = open();
    const { key, data } = await session.withContext(HOME).encrypt(SECRET);
    expect(await session.decrypt({ key, data })).toEqual(SECRET);
  });

  it('opens a record that was swapped with another record of its partition', async () => {
    const session = open();
    const [low, high] = [await session.encrypt(Buffer.from('low')), await session.encrypt(Buffer.from('high'))];
    const column = { low: high, high: low };
    expect(await session.decrypt(column.low)).toEqual(Buffer.from('high'));
  });

  it.for([Buffer.alloc(31), Buffer.alloc(33), Buffer.alloc(0)])(
    'refuses a proof whose length is not 32 bytes',
    async (proof) => {
      const session = open();
      const record = { ...(await session.encrypt(SECRET)), proof };
      expect(await codeOf(session.decrypt(record))).toBe('InvalidRequest');
      expect(await codeOf(session.withContext(HOME).decrypt(record))).toBe('InvalidRequest');
    },
  );

  it.for(['null', '""', '"AAAA"', '7', '{}', '"%%"'])('refuses %s as the Proof of a JSON record', async (proof) => {
    const session = open();
    const text = (await session.encryptToJson(SECRET)).replace(',"Data"', `,"Proof":${proof},"Data"`);
    expect(await codeOf(session.decryptJson(text))).toBe('InvalidRequest');
  });
});

describe('requireContext', () => {
  it.for([
    ['off', 'ok', 'ok'],
    ['seal', 'ContextRequired', 'ok'],
    ['always', 'ContextRequired', 'ContextRequired'],
  ] as const)(
    'set to "%s": without a context, encrypt ends with "%s" and decrypt with "%s"',
    async ([requireContext, sealing, opening]) => {
      const world = new FakeDependencies();
      const record = await open({}, world).encrypt(SECRET);
      world.log.take();
      const session = open({ requireContext }, world);
      expect(await outcome(session.encrypt(SECRET))).toBe(sealing);
      expect(await outcome(session.encryptToJson(SECRET))).toBe(sealing);
      expect(world.log.take().slice(0, sealing === 'ok' ? 0 : 1)).toEqual([]);
      expect(await outcome(session.decrypt(record))).toBe(opening);
      expect(await outcome(session.rewrap(record))).toBe('ok');
      const bound = await session.withContext(HOME).encrypt(SECRET);
      expect(await outcome(session.withContext(HOME).decrypt(bound))).toBe('ok');
    },
  );

  it('must be a known value', () => {
    expect(() => open({ requireContext: 'never' as never })).toThrow(TypeError);
  });
});

describe('unboundBefore', () => {
  it.for([NaN, Infinity, 1_767_225_600_000, 253_402_300_800])('cannot be the time %d', (unboundBefore) => {
    expect(() => open({ unboundBefore })).toThrow(
      expect.objectContaining({
        code: 'InvalidConfiguration',
        message: expect.stringContaining('unboundBefore must be a time in seconds since 1970') as string,
      }),
    );
  });

  it.for([-Infinity, 0, 1.5, 253_402_300_799])('can be the time %d', (unboundBefore) => {
    expect(() => open({ unboundBefore })).not.toThrow();
  });

  it('lets a session with a context open unbound records under Intermediate Keys that are older than unboundBefore', async () => {
    const world = new FakeDependencies();
    const unbound = await open({}, world).encrypt(SECRET);
    const { created } = unbound.key.parent;
    const reported: KeyMeta[] = [];
    const events = { ...NO_ENVELOPE_EVENTS, openedUnbound: (key: KeyMeta) => void reported.push(key) };
    const migrating = open({ unboundBefore: created + 1, events }, world).withContext(HOME);
    expect(await migrating.decrypt(unbound)).toEqual(SECRET);
    expect(await migrating.decryptJson(encodeDataRowRecord(unbound))).toEqual(SECRET);
    expect(reported).toEqual([unbound.key.parent, unbound.key.parent]);
    const later = open({ unboundBefore: created, events }, world).withContext(HOME);
    expect(await codeOf(later.decrypt(unbound))).toBe('RecordUnreadable');
    expect(await codeOf(open({}, world).withContext(HOME).decrypt(unbound))).toBe('RecordUnreadable');
    expect(reported).toHaveLength(2);
  });

  it('makes a session report an unbound record only if the session decrypts the record', async () => {
    const world = new FakeDependencies();
    const record = await open({}, world).encrypt(SECRET);
    const { created, id } = record.key.parent;
    const openedUnbound = vi.fn<EnvelopeEvents['openedUnbound']>();
    const events = { ...NO_ENVELOPE_EVENTS, openedUnbound };
    const migrating = open({ unboundBefore: created + 1, events }, world).withContext(HOME);
    const faulty = [
      { ...record, data: flipped(record.data) },
      { ...record, key: { ...record.key, encryptedKey: flipped(record.key.encryptedKey) } },
      { ...record, key: { ...record.key, parent: { id, created: created - 60 } } },
    ];
    for (const given of faulty) expect(await codeOf(migrating.decrypt(given))).toBe('RecordUnreadable');
    expect(openedUnbound).not.toHaveBeenCalled();
    expect(await migrating.opensUnbound(record)).toBe(true);
    expect(openedUnbound).not.toHaveBeenCalled();
    await migrating.decrypt(record);
    expect(openedUnbound).toHaveBeenCalledOnce();
  });

  it('lets opensUnbound fail with MetastoreUnavailable if the key of the record cannot be loaded', async () => {
    const world = new FakeDependencies();
    const record = await open({}, world).encrypt(SECRET);
    expect(await open({}, world).opensUnbound({ ...record, data: flipped(record.data) })).toBe(false);
    world.metastore.interfere = () => Promise.reject(new KeyfoldError('MetastoreUnavailable', 'down'));
    expect(await codeOf(open({}, world).opensUnbound(record))).toBe('MetastoreUnavailable');
  });

  it('protects against key rows with a forged date only if keyRowProofs is "require"', async () => {
    const world = new FakeDependencies();
    const unboundBefore = Math.floor(world.clock.nowMs / 1000);
    const { key, data } = await open({}, world).withContext(AWAY).encrypt(SECRET);
    const [row] = world.metastore.ofKind('IK');
    const parent = { id: key.parent.id, created: unboundBefore - 1 };
    const stripped = { key: { ...key, parent }, data };
    const opened = (keyRowProofs: 'verify' | 'require'): Promise<string> => {
      const work = open({ unboundBefore, keyRowProofs }, world).withContext(HOME).decrypt(stripped);
      return work.then(String, () => codeOf(work));
    };
    for (const proof of [row?.proof, undefined]) {
      world.metastore.change({ ...(row as EnvelopeKeyRecord), created: parent.created as never }, { proof });
      expect(await opened('verify')).toBe(proof === undefined ? 'secret' : 'KeyRowUnreadable');
      expect(await opened('require')).toBe('KeyRowUnreadable');
    }
  });

  it('does not let the session open a record that is bound to another context', async () => {
    const world = new FakeDependencies();
    const record = await open({}, world).withContext(AWAY).encrypt(SECRET);
    const migrating = open({ unboundBefore: record.key.parent.created + 1 }, world).withContext(HOME);
    expect(await codeOf(migrating.decrypt(record))).toBe('RecordUnreadable');
  });
});

async function outcome(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'ok',
    () => codeOf(work),
  );
}

function flipped(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  copy[0] = (copy[0] ?? 0) ^ 1;
  return copy;
}
