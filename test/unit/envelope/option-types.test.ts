import { describe, expect, it } from 'vitest';
import {
  AwsKms,
  DynamoDbMetastore,
  encodeDataRowRecord,
  KeyfoldError,
  MemoryMetastore,
  SessionFactory,
  StaticKms,
  SystemKeyMaintenance,
  type EnvelopeKeyRecord,
  type SessionFactoryOptions,
} from '../../../src/index.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { errorOf, FakeDependencies, memoryService } from '../../support/fakes.ts';
import { detached } from '../../support/hostile.ts';

const KMS = {
  keys: { 'us-west-2': 'arn:aws:kms:us-west-2:111122223333:alias/keyfold' },
  preferredRegion: 'us-west-2',
};
const SERVICE = {
  service: 'svc',
  product: 'prod',
  metastore: new MemoryMetastore(),
  kms: new StaticKms(Buffer.alloc(32), {}),
};

/** Listeners that are the exports of a module, as in `import * as listeners`. */
const LISTENERS = Object.assign(Object.create(null) as object, { [Symbol.toStringTag]: 'Module' }) as never;

/** Makes a service with these options, and encrypts. Returns the error if one of the two fails. */
function sealWith(options: Partial<SessionFactoryOptions>): Promise<unknown> {
  return errorOf((async () => memoryService(options).session('p').encryptToJson(Buffer.from('x')))());
}

describe('wrong options', () => {
  it.for<[string, object]>([
    ['options has no option expireAfter', { expireAfter: 5 }],
    ['policy has no option expireAfter', { policy: { expireAfter: 5 } }],
    ['policy.expireAfterMs must be a number', { policy: { expireAfterMs: '5' } }],
    ['options.policy must be an object', { policy: null }],
    ['options.service must be a string', { service: new String('svc') }],
    ['options.product must be a string', { product: undefined }],
    ['options.allowAmbiguousNames must be a boolean', { allowAmbiguousNames: 'no' }],
    ['options.metastore must be an object with load, loadLatest, store', { metastore: { load: () => {} } }],
    ['options.kms must be an object with wrap, unwrap', { kms: {} }],
    ['options.now must be a function', { now: 5 }],
    ["options.keyRowProofs must be 'verify' or 'require'", { keyRowProofs: 'off' }],
    ["options.requireContext must be 'off' or 'seal' or 'always'", { requireContext: 'never' }],
    ['options.unboundBefore must be a number', { unboundBefore: '5' }],
    ['options.events must be an object, not a function', { events: () => {} }],
    ['options.events.keyRetired must be a function', { events: { keyCreated: () => {}, keyRetired: 5 } }],
    [
      'options.metastore must be an object with load, loadLatest, store, and loadRecent if it is given, not null',
      { metastore: null },
    ],
    ...[5, null].map((loadRecent): [string, object] => [
      'options.metastore must be an object with load, loadLatest, store, and loadRecent if it is given, not another object',
      { metastore: Object.assign(new MemoryMetastore(), { loadRecent }) },
    ]),
    ['options has no such option as one of those given', { [`a${'b'.repeat(64)}`]: 5 }],
    ['options has no such option as one of those given', { 'SECRET value': 5 }],
    [`options has no option ${'b'.repeat(64)}`, { ['b'.repeat(64)]: 5 }],
  ])('make SessionFactory throw the TypeError "%s"', ([message, change]) => {
    expect(() => memoryService(change)).toThrow(new RegExp(`^${message}(?:[,.]|$)`));
    expect(() => memoryService(change)).toThrow(TypeError);
  });

  it.for<[string, () => unknown]>([
    ['options has no option key', () => new AwsKms({ ...KMS, key: 'x' } as never)],
    ['options.keys must be an object', () => new AwsKms({ ...KMS, keys: new Map() } as never)],
    ['options.keys.us-west-2 must be a string', () => new AwsKms({ ...KMS, keys: { 'us-west-2': 5 } } as never)],
    ['timeouts has no option requestTimeout', () => new AwsKms({ ...KMS, timeouts: { requestTimeout: 5 } } as never)],
    ['failover.maxRounds must be a number', () => new AwsKms({ ...KMS, failover: { maxRounds: '8' } } as never)],
    ['options.events must be an object', () => new AwsKms({ ...KMS, events: 5 } as never)],
    ['options.events.attempted must be a function', () => new AwsKms({ ...KMS, events: { attempted: 5 } } as never)],
    ['options has no option table', () => new DynamoDbMetastore({ table: 'T' } as never)],
    ['options.tableName must be a string', () => new DynamoDbMetastore({ tableName: null } as never)],
    ['options must be an object', () => new DynamoDbMetastore(null as never)],
    ['masterKey must be a Uint8Array', () => new StaticKms('0'.repeat(32) as never, {})],
    ['masterKey must be a Uint8Array', () => new StaticKms(detached(), {})],
    ['environment must be an object', () => new StaticKms(Buffer.alloc(32), null as never)],
    ['override must be a string', () => new StaticKms(Buffer.alloc(32), {}, true as never)],
    ['options.kms must be an object with wrap, unwrap, renew', () => new SystemKeyMaintenance({ ...SERVICE } as never)],
    ['partition must be a string', () => memoryService().session(new String('p') as never)],
    ['keyUsed must be a function', () => memoryService().session('p', {} as never)],
    [
      'options.shareDataRowKey must be a boolean',
      () =>
        memoryService()
          .session('p')
          .batch({} as never),
    ],
    ['code must be an ErrorCode', () => new KeyfoldError('Wrong' as never, 'x')],
  ])('make a constructor or method throw the TypeError "%s"', ([message, make]) => {
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });

  it.for<[string, () => unknown]>([
    ['an infinite requestTimeoutMs', () => new AwsKms({ ...KMS, timeouts: { requestTimeoutMs: Infinity } })],
    ['an unknown onKeyRefused', () => new AwsKms({ ...KMS, failover: { onKeyRefused: 'ignore' as never } })],
    ['NaN as requestTimeoutMs', () => new DynamoDbMetastore({ requestTimeoutMs: NaN })],
    ['a negative connectionTimeoutMs', () => new DynamoDbMetastore({ connectionTimeoutMs: -1 })],
    [
      'a master key of 31 bytes that reports 32 bytes',
      () => new StaticKms(Object.defineProperty(Buffer.alloc(31), 'length', { value: 32 }), {}),
    ],
  ])('cause InvalidConfiguration for %s', ([, make]) => {
    expect(make).toThrow(expect.objectContaining({ code: 'InvalidConfiguration' }));
  });

  it.for<[string, () => unknown]>([
    ['SessionFactory', () => memoryService({ events: LISTENERS })],
    ['AwsKms', () => new AwsKms({ ...KMS, events: LISTENERS })],
    ['DynamoDbMetastore', () => new DynamoDbMetastore({ region: 'us-west-2', events: LISTENERS })],
  ])('do not include an events object that is a module namespace object (%s)', ([, make]) => {
    expect(make).not.toThrow();
  });

  it.for<[string, unknown]>([
    ['missing', undefined],
    ['null', null],
    ['a string', 'x'],
    ['an array', []],
    ['a Map', new Map()],
  ])('cause a TypeError if they are not an object (%s)', ([, options]) => {
    expect(() => new SessionFactory(options as never)).toThrow(/^options must be an object/);
  });

  it.for<[string, string, unknown]>([
    ['limits must be an object', 'null', null],
    ['limits must be an object', 'an AbortSignal', new AbortController().signal],
    ['limits.deadlineAtMs must be a number of milliseconds', 'NaN', { deadlineAtMs: NaN }],
    ['limits.deadlineAtMs must be a number of milliseconds', 'a Date', { deadlineAtMs: new Date() }],
    ['limits.signal must be an AbortSignal', 'an AbortController', { signal: new AbortController() }],
    ['limits has no option deadlineMs', 'an unknown option', { deadlineMs: 5 }],
  ])('make each method of a session or a factory throw the TypeError "%s" for %s', async ([message, , limits]) => {
    const service = memoryService();
    const session = service.session('p');
    const record = await session.encrypt(Buffer.from('x'));
    const calls = [
      session.encrypt(Buffer.from('x'), limits as never),
      session.decrypt(record, limits as never),
      session.rewrap(record, limits as never),
      session.decryptJson(encodeDataRowRecord(record), limits as never),
      session.opensUnbound(record, limits as never),
      service.preload(limits as never),
      service.checkSystemKey(limits as never),
    ];
    for (const error of await Promise.all(calls.map(errorOf))) {
      expect(error).toBeInstanceOf(TypeError);
      expect((error as Error).message).toContain(message);
    }
  });
});

describe('a session', () => {
  it.for<[string, unknown]>([
    ['NaN', NaN],
    ['a negative time', -1],
    ['a time after the last Date', 8.64e15 + 1],
    ['a string', '5'],
    ['a promise', Promise.resolve(5)],
  ])('throws a TypeError from encrypt if the clock returns %s', async ([, ms]) => {
    expect(await sealWith({ now: () => ms as never })).toEqual(
      new TypeError('The answer of options.now must be milliseconds since 1970.'),
    );
  });

  it.for<[string, unknown]>([
    ['undefined', undefined],
    ['a boolean', true],
    ['a string', 'ok'],
  ])('throws a TypeError from encrypt if metastore.store returns %s', async ([kind, outcome]) => {
    const metastore = new MemoryMetastore();
    metastore.store = async () => outcome as never;
    expect(await sealWith({ metastore })).toEqual(
      new TypeError(`The answer of metastore.store must be 'stored' or 'duplicate', not ${kind}.`),
    );
  });

  it.for<[string, unknown, string]>([
    ['a string', 'wrapped', 'The answer of kms.wrap must be an object, not a string.'],
    ['nothing', undefined, 'The answer of kms.wrap must be an object, not undefined.'],
    ['an empty array', new Uint8Array(), 'The answer of kms.wrap must not be empty.'],
    ['a Uint16Array', new Uint16Array(9), 'The answer of kms.wrap must be an object, not another object.'],
    [
      'an object without a wrap',
      {},
      'The answer of kms.wrap.wrapped must be a Uint8Array whose buffer is not detached, not undefined.',
    ],
    [
      'a wrap with a rowProof that is not an object',
      { wrapped: Buffer.from('w'), rowProof: 5 },
      'The answer of kms.wrap.rowProof must be an object, not a number.',
    ],
  ])('stores no System Key if kms.wrap returns %s', async ([, wrap, message]) => {
    const metastore = new MemoryMetastore();
    const kms = new StaticKms(Buffer.alloc(32), {});
    kms.wrap = async () => wrap as never;
    expect(await sealWith({ metastore, kms })).toEqual(new TypeError(message));
    expect(await metastore.rows('_SK_svc_prod' as never)).toEqual([]);
  });

  it('loses no key if the KMS returns the same buffer that it received', async () => {
    const metastore = new MemoryMetastore();
    const kms = new StaticKms(Buffer.alloc(32), {});
    kms.wrap = async (key) => key;
    kms.unwrap = async (wrapped) => ({ key: Buffer.from(wrapped.buffer as ArrayBuffer) });
    const text = await memoryService({ metastore, kms }).session('p').encryptToJson(Buffer.from('x'));
    for (let i = 0; i < 2; i += 1) {
      expect(String(await memoryService({ metastore, kms }).session('p').decryptJson(text))).toBe('x');
    }
  });

  it.for<[string, unknown, string]>([
    ['null', null, ' must be an object, not null.'],
    ['an empty object', {}, '.id must be a string, not undefined.'],
    [
      'a row whose key is a string',
      { id: '_SK_svc_prod', created: 60, encryptedKey: 'AAAA', revoked: false },
      '.encryptedKey must be a Uint8Array whose buffer is not detached, not a string.',
    ],
  ])('throws KeyRowUnreadable from encrypt if the metastore returns %s', async ([, row, why]) => {
    const metastore = new MemoryMetastore();
    Object.assign(metastore, { loadLatest: async () => row, loadRecent: undefined });
    expect(await sealWith({ metastore })).toMatchObject({
      code: 'KeyRowUnreadable',
      message:
        'The key row _IK_p_svc_prod created at an unknown time cannot be read: metastore.loadLatest has not returned a key record.',
      cause: new TypeError(`The answer of metastore.loadLatest${why}`),
    });
  });

  const MARK = { erase: 'e', at: 60, due: 120, proof: Buffer.alloc(32) };
  it.for<[string, (row: EnvelopeKeyRecord) => object, string]>([
    [
      'no revoked member',
      ({ id, created, encryptedKey, parent }) => ({ id, created, encryptedKey, parent }),
      'revoked must be a boolean, not undefined',
    ],
    [
      'a date that is not a whole number',
      (row) => ({ ...row, created: row.created + 0.5 }),
      'created must be a whole number of seconds',
    ],
    ['another date', (row) => ({ ...row, created: row.created + 60 }), ''],
    ['another id', (row) => ({ ...row, id: '_IK_q_svc_prod' }), ''],
    [
      'a parent whose date is not a whole number',
      (row) => ({ ...row, parent: { id: row.parent?.id, created: 0.5 } }),
      'parent.created must be a whole number of seconds',
    ],
    [
      'a parent without an id',
      (row) => ({ ...row, parent: { created: 60 } }),
      'parent.id must be a string, not undefined',
    ],
    ['a parent that is text', (row) => ({ ...row, parent: 'x' }), 'parent must be an object, not a string'],
    [
      'a proof that is text',
      (row) => ({ ...row, proof: 'x' }),
      'proof must be a Uint8Array whose buffer is not detached, not a string',
    ],
    ['an erasure mark that is text', (row) => ({ ...row, erased: 'x' }), 'erased must be an object, not a string'],
    [
      'an erasure mark without an erasure ID',
      (row) => ({ ...row, erased: { ...MARK, erase: undefined } }),
      'erased.erase must be a string, not undefined',
    ],
    [
      'an erasure mark whose date is not a whole number',
      (row) => ({ ...row, erased: { ...MARK, at: 0.5 } }),
      'erased.at must be a whole number of seconds',
    ],
    [
      'an erasure mark whose due date is not a safe integer',
      (row) => ({ ...row, erased: { ...MARK, due: 2 ** 53 } }),
      'erased.due must be a whole number of seconds',
    ],
    [
      'an erasure mark without a proof',
      (row) => ({ ...row, erased: { ...MARK, proof: undefined } }),
      'erased.proof must be a Uint8Array whose buffer is not detached, not undefined',
    ],
  ])('throws KeyRowUnreadable from decrypt if the row of the key has %s', async ([, change, why]) => {
    const world = new FakeDependencies();
    const record = await world.process().session('p').encrypt(Buffer.from('x'));
    const [row] = world.metastore.ofKind('IK') as [EnvelopeKeyRecord];
    const [systemKey] = world.metastore.ofKind('SK');
    Object.assign(world.metastore, { load: async (id: string) => (id === row.id ? change(row) : systemKey) });
    const what = why === '' ? 'returned the record of another key' : 'not returned a key record';
    const error = await errorOf(world.process().session('p').decrypt(record));
    expect(error).toMatchObject({
      code: 'KeyRowUnreadable',
      message: `The key row ${row.id} created ${row.created} cannot be read: metastore.load has ${what}.`,
    });
    const cause = why === '' ? undefined : new TypeError(`The answer of metastore.load.${why}.`);
    expect((error as Error).cause).toEqual(cause);
  });

  it('throws KeyRowUnreadable from encrypt if loadRecent returns rows with another ID', async () => {
    const world = new FakeDependencies();
    await world.process().session('q').encrypt(Buffer.from('x'));
    const [other] = world.metastore.ofKind('IK') as [EnvelopeKeyRecord];
    const ahead = { ...other, id: '_IK_p_svc_prod', created: other.created + 86_400 } as EnvelopeKeyRecord;
    Object.assign(world.metastore, { loadLatest: async () => ahead, loadRecent: async () => [other] });
    expect(await errorOf(world.process().session('p').encrypt(Buffer.from('x')))).toMatchObject({
      code: 'KeyRowUnreadable',
      message: expect.stringContaining('metastore.loadRecent has returned the record of another key') as string,
    });
  });

  const BYTES = 'a Uint8Array whose buffer is not detached';
  it.for<[string, unknown, string]>([
    ['nothing', undefined, 'answer of kms.unwrap must be an object, not undefined'],
    ['a string', 'key', 'answer of kms.unwrap must be an object, not a string'],
    ['an empty object', {}, 'reason of kms.unwrap must be a string, not undefined'],
    ['a key that is a string', { key: 'k'.repeat(32) }, `key of kms.unwrap must be ${BYTES}, not a string`],
    ['an undefined key', { key: undefined }, `key of kms.unwrap must be ${BYTES}, not undefined`],
    ['a reason that is a number', { unreadable: 5 }, 'reason of kms.unwrap must be a string, not a number'],
    [
      'a rowProof with a key of 33 bytes',
      { key: Buffer.alloc(32), rowProof: { key: Buffer.alloc(33), sealed: Buffer.alloc(1) } },
      'rowProof of kms.unwrap must have a key of 32 bytes',
    ],
  ])('throws a TypeError from decrypt if kms.unwrap returns %s', async ([, unwrapped, message]) => {
    const world = new FakeDependencies();
    const record = await world.process().session('p').encrypt(Buffer.from('x'));
    world.kms.unwrap = async () => unwrapped as never;
    const error = await errorOf(world.process().session('p').decrypt(record));
    expect(error).toEqual(new TypeError(`The ${message}.`));
  });

  it.for<[string, unknown, Error]>([
    ['an object', {}, new TypeError('The answer of metastore.loadRecent must be an array, not another object.')],
    [
      'an object without an ID as a row',
      [{}],
      new KeyfoldError(
        'KeyRowUnreadable',
        'The key row _IK_p_svc_prod created at an unknown time cannot be read: metastore.loadRecent has not returned a key record.',
        { cause: new TypeError('The answer of metastore.loadRecent.id must be a string, not undefined.') },
      ),
    ],
  ])('throws an error from encrypt if metastore.loadRecent returns %s', async ([, rows, error]) => {
    const world = new FakeDependencies();
    await world.process().session('p').encrypt(Buffer.from('x'));
    for (const row of world.metastore.ofKind('IK')) world.metastore.change({ ...row, created: 1e11 as never }, {});
    Object.assign(world.metastore, { loadRecent: async () => rows });
    expect(await errorOf(world.process().session('p').encrypt(Buffer.from('x')))).toEqual(error);
  });

  it('accepts an answer of kms.wrap that has no rowProof', async () => {
    const world = new FakeDependencies();
    const wrap = world.kms.wrap.bind(world.kms);
    Object.assign(world.kms, {
      wrap: async (...given: Parameters<typeof wrap>) => ({ wrapped: await wrap(...given) }),
    });
    const record = await world.process().session('p').encrypt(Buffer.from('x'));
    expect(String(await world.process().session('p').decrypt(record))).toBe('x');
  });

  it("stores a copy of the wrap, because kms.wrap may return the key's own buffer, which is zeroed afterwards", async () => {
    const world = new FakeDependencies();
    world.kms.wrap = async (key) => key;
    await world.process().session('p').encrypt(Buffer.from('x'));
    expect(world.metastore.ofKind('SK')[0]?.encryptedKey.some((byte) => byte !== 0)).toBe(true);
  });

  it.for([
    ['the earliest time', 0],
    ['the latest time', 8.64e15],
  ] as const)('accepts %s that a clock may return', async ([, ms]) => {
    const record = await memoryService({ now: () => ms })
      .session('p')
      .encrypt(Buffer.from('x'));
    expect(record.key.created).toBe(ms / 1000);
  });

  it('throws KeyRowUnreadable from encrypt if loadLatest returns a row with another ID', async () => {
    const metastore = new MemoryMetastore();
    const service = memoryService({ metastore });
    await service.session('q').encrypt(Buffer.from('x'));
    const [other] = await metastore.rows(service.session('q').keyId);
    Object.assign(metastore, { loadLatest: async () => other, loadRecent: undefined });
    expect(await sealWith({ metastore })).toMatchObject({
      code: 'KeyRowUnreadable',
      message: expect.stringContaining('metastore.loadLatest has returned the record of another key') as string,
    });
  });
});

it('MemoryMetastore keeps a stored record even if its caller overwrites the key bytes', async () => {
  const metastore = new MemoryMetastore();
  const record = keyRecord('_SK_kept', 60);
  await metastore.store(record);
  record.encryptedKey.fill(0);
  const stored = await metastore.load(record.id, record.created);
  expect(String(stored?.encryptedKey)).toBe('key 60');
});
