import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  KeyfoldError,
  MemoryMetastore,
  SystemKeyMaintenance,
  type KeyManagementService,
  type EnvelopeEvents,
  type KeyMeta,
  type MaintenanceOptions,
  type MaintenanceReport,
  type RegisteredErasure,
  type WrapRenewer,
} from '../../../src/index.ts';
import { NO_ENVELOPE_EVENTS } from '../../../src/envelope/ports.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { DAY_MS, errorOf, FakeKms, HandClock, memoryService, MINUTE_MS } from '../../support/fakes.ts';

const PAYLOAD = Buffer.from('payload');
const SYSTEM_KEY_ID = '_SK_svc_prod' as never;

let clock: HandClock;
let metastore: MemoryMetastore;
/** How many of the next renewals make a new wrap. */
let renewals: number;
let kms: KeyManagementService & WrapRenewer;
const fake = new FakeKms();

beforeEach(() => {
  clock = new HandClock();
  metastore = new MemoryMetastore();
  renewals = 0;
  fake.interfere = () => {};
  kms = {
    wrap: (key, d) => fake.wrap(key, d),
    unwrap: (wrapped, d) => fake.unwrap(wrapped, d),
    // The new wrap consists of the old one twice, so that a test can tell the two apart.
    renew: async (wrapped) => ({
      regions: [{ region: 'us-west-2', opens: true, renewed: renewals > 0 }],
      renewed: renewals-- > 0 ? Buffer.concat([wrapped, wrapped]) : undefined,
    }),
  };
});

const service = (): ReturnType<typeof memoryService> => memoryService({ metastore, kms, now: clock.now });
const maintenance = (options: Partial<MaintenanceOptions> = {}): SystemKeyMaintenance =>
  new SystemKeyMaintenance({ service: 'svc', product: 'prod', metastore, kms, now: clock.now, ...options });
const createdTimes = async (): Promise<number[]> => (await metastore.rows(SYSTEM_KEY_ID)).map((row) => row.created);

/** An erasure in the register. Without `deletedAt`, the rows of its partition are not deleted yet. */
function entry(due: number, deletedAt?: number): RegisteredErasure {
  return { partition: `due ${due}`, erase: 'e', at: 60, due, ...(deletedAt !== undefined && { deletedAt }) } as never;
}

/** What a maintenance run reports about the erasures in a register. */
async function reported(list: () => Promise<RegisteredErasure[]>): Promise<Partial<MaintenanceReport>> {
  const { erasuresDue, erasuresFault } = await maintenance({ erasures: { list } }).run();
  return { erasuresDue, erasuresFault } as Partial<MaintenanceReport>;
}

describe('the report about erasures', () => {
  it('names the erasures whose waiting time is over and whose rows are not yet deleted', async () => {
    const now = Math.floor(clock.nowMs / 1000);
    const entries = [entry(now - 1), entry(now), entry(now + 1), entry(now - 2, now - 1)];
    const { erasuresDue } = await reported(async () => entries);
    expect(erasuresDue).toEqual(entries.slice(0, 2));
    expect(await maintenance().run()).not.toHaveProperty('erasuresDue');
  });

  it.for<[string, unknown]>([
    ['The answer of erasures.list must be an array', 5],
    ['The answer of erasures.list[0] must be an object', [null]],
    ['The answer of erasures.list[1].due must be a number', [entry(60), { ...entry(60), due: '60' }]],
  ])('throws the TypeError "%s" if erasures.list returns a wrong value', async ([message, entries]) => {
    const error = await errorOf(reported((() => entries) as never));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(message);
  });

  it('gives the reason if the erasures cannot be read, and does not make the run fail', async () => {
    const down = new KeyfoldError('MetastoreUnavailable', 'down');
    const { erasuresFault } = await reported(() => Promise.reject(down));
    expect(erasuresFault).toBe('MetastoreUnavailable: down');
  });
});

describe('SystemKeyMaintenance', () => {
  it.for(['minSealingCreated', 'minOpeningCreated'] as const)(
    'refuses a %s that is more than ten minutes ahead of the clock',
    (name) => {
      const now = clock.now() / 1000;
      expect(() => maintenance({ policy: { [name]: now + 601 } })).toThrow(`${name} is more than ten minutes ahead`);
      expect(() => maintenance({ policy: { [name]: now + 600 } })).not.toThrow();
    },
  );

  it('reports the state of each System Key, latest first', async () => {
    await service().session('p').encrypt(PAYLOAD);
    clock.advance(91 * DAY_MS);
    await service().session('p').encrypt(PAYLOAD);
    const { systemKeys, ...made } = await maintenance().run();
    const [latest, first] = await createdTimes();
    const regions = [{ region: 'us-west-2', opens: true, renewed: false }];
    expect({ systemKeys, ...made }).toStrictEqual({
      systemKeys: [
        { id: SYSTEM_KEY_ID, created: latest, state: 'valid', regions },
        { id: SYSTEM_KEY_ID, created: first, state: 'expired', regions },
      ],
    });
  });

  it('stores the renewed wraps of a System Key', async () => {
    await service().session('p').encrypt(PAYLOAD);
    const [before] = await metastore.rows(SYSTEM_KEY_ID);
    renewals = 1;
    await maintenance().run();
    const [after] = await metastore.rows(SYSTEM_KEY_ID);
    expect(after?.encryptedKey).toHaveLength(2 * (before?.encryptedKey.length ?? 0));
  });

  it('stores the renewed wraps even if the KMS writes them over the wraps that it gets', async () => {
    await service().session('p').encrypt(PAYLOAD);
    const inPlace = { ...kms, renew: async (wrapped: Uint8Array) => ({ regions: [], renewed: wrapped.fill(9) }) };
    const [before] = await metastore.rows(SYSTEM_KEY_ID);
    const { systemKeys } = await maintenance({ kms: inPlace }).run();
    const [after] = await metastore.rows(SYSTEM_KEY_ID);
    expect(systemKeys[0]?.fault).toBeUndefined();
    expect(after?.encryptedKey).toEqual(before?.encryptedKey.fill(9));
  });

  it.for<[string, unknown]>([
    ['The answer of metastore.rows must be an array', undefined],
    ['The answer of metastore.rows must be an array', new Map()],
    ['The answer of metastore.rows[0] must be an object', [null]],
    ['The answer of metastore.rows[0].id must be a string', [{}]],
    [
      'The answer of metastore.rows[0].revoked must be a boolean',
      [{ ...keyRecord('_SK_svc_prod', 60), revoked: 'no' }],
    ],
    ['The answer of metastore.rows[0].unreadable must be a string', [{ id: '_SK_svc_prod', unreadable: true }]],
  ])('throws the TypeError "%s" if metastore.rows returns a wrong value', async ([message, rows]) => {
    vi.spyOn(metastore, 'rows').mockResolvedValue(rows as never);
    const error = await errorOf(maintenance().run());
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(message);
  });

  it.for<[string, unknown]>([
    ['The answer of kms.renew must be an object', undefined],
    ['The answer of kms.renew.regions must be an array', {}],
    ['The answer of kms.renew.renewed must be a Uint8Array', { regions: [], renewed: 'wrap' }],
    [
      'The answer of kms.renew.renewed must be a Uint8Array that is not empty',
      { regions: [], renewed: new Uint8Array() },
    ],
    ['The answer of kms.renew.unreadable must be a string', { regions: [], unreadable: 5 }],
  ])('throws the TypeError "%s" if kms.renew returns a wrong value', async ([message, report]) => {
    await service().session('p').encrypt(PAYLOAD);
    const error = await errorOf(maintenance({ kms: { ...kms, renew: async () => report as never } }).run());
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(message);
  });

  it('throws a TypeError if replaceKey returns anything but an outcome', async () => {
    await service().session('p').encrypt(PAYLOAD);
    renewals = 1;
    vi.spyOn(metastore, 'replaceKey').mockResolvedValue(true as never);
    const error = await errorOf(maintenance().run());
    expect(error).toEqual(
      new TypeError("The answer of metastore.replaceKey must be 'replaced' or 'changed', not a boolean."),
    );
  });

  it('renews the wraps of a row again if another run has changed the row meanwhile', async () => {
    await service().session('p').encrypt(PAYLOAD);
    renewals = 2;
    let raced = false;
    const replaceKey = metastore.replaceKey.bind(metastore);
    vi.spyOn(metastore, 'replaceKey').mockImplementation(async (record, key) => {
      if (!raced) await replaceKey(record, Buffer.from('by another'));
      raced = true;
      return replaceKey(record, key);
    });
    await maintenance().run();
    const [after] = await metastore.rows(SYSTEM_KEY_ID);
    expect(Buffer.from(after?.encryptedKey ?? []).toString()).toBe('by anotherby another');
  });

  it('passes its deadline to each call of the metastore and the KMS', async () => {
    await service().session('p').encrypt(PAYLOAD);
    clock.advance(85 * DAY_MS);
    renewals = 1;
    const deadlines: [string, number][] = [];
    const watch = <T extends object>(port: T, methods: readonly (keyof T & string)[]): void => {
      for (const method of methods) {
        const real = (port[method] as (...args: unknown[]) => unknown).bind(port);
        port[method] = ((...args: unknown[]) => {
          const { atMs } = args.at(-1) as { readonly atMs?: number };
          // MemoryMetastore calls its own methods without a deadline.
          if (atMs !== undefined) deadlines.push([method, atMs]);
          return method === 'replaceKey' && deadlines.filter(([called]) => called === method).length === 1
            ? Promise.resolve('changed')
            : real(...args);
        }) as T[typeof method];
      }
    };
    watch(metastore, ['load', 'rows', 'store', 'replaceKey']);
    watch(kms, ['wrap', 'renew']);
    const deadlineAtMs = clock.now() + 20_000;
    await maintenance().run({ deadlineAtMs });
    // A run uses at most half of its time to make the next key.
    const half = clock.now() + 10_000;
    expect(new Map(deadlines)).toEqual(
      new Map([
        ['rows', deadlineAtMs],
        ['wrap', half],
        ['store', half],
        ['renew', deadlineAtMs],
        ['replaceKey', deadlineAtMs],
        ['load', deadlineAtMs],
      ]),
    );
  });

  it('checks eight keys at a time', async () => {
    const rows = Array.from({ length: 20 }, (_, i) => keyRecord('_SK_svc_prod', 60 * (20 - i)));
    vi.spyOn(metastore, 'rows').mockResolvedValue(rows);
    let [active, most] = [0, 0];
    kms.renew = async () => {
      active += 1;
      most = Math.max(most, active);
      await new Promise(setImmediate);
      active -= 1;
      return { regions: [], renewed: undefined };
    };
    const { systemKeys } = await maintenance().run();
    expect(systemKeys.map(({ created }) => created)).toEqual(rows.map(({ created }) => created));
    expect(most).toBe(8);
  });

  it('keeps a System Key whose row has no proof, instead of making a new System Key', async () => {
    await service().session('p').encrypt(PAYLOAD);
    const [row] = await metastore.rows(SYSTEM_KEY_ID);
    const unproven = new MemoryMetastore();
    if (row !== undefined) await unproven.store({ ...row, proof: undefined });
    const report = await maintenance({ metastore: unproven }).run();
    expect([report.created, report.createFault]).toEqual([undefined, undefined]);
  });

  it('stops waiting for the register of erasures at its deadline', async () => {
    const erasures = { list: () => new Promise<never>(() => {}) };
    const { erasuresFault } = await maintenance({ erasures }).run({ deadlineAtMs: clock.now() + 20 });
    expect(erasuresFault).toMatch(/^DeadlineExceeded/);
  });

  it.for([
    ['options must be an object', undefined],
    ['options.kms must be an object with wrap, unwrap, renew, not another object.', { kms: {} }],
    ['options.erasures must be an object with list', { erasures: {} }],
    ['options.events.keyCreated must be a function', { events: { keyCreated: 5 } }],
    ['options has no option extra.', { extra: 1 }],
  ])('throws the TypeError "%s…" for a wrong option', ([message, options]) => {
    const all = { service: 'svc', product: 'prod', metastore, kms };
    const make = (): unknown => new SystemKeyMaintenance((options && { ...all, ...(options as object) }) as never);
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });

  it('reports a fault for a row that changes during each of three attempts', async () => {
    await service().session('p').encrypt(PAYLOAD);
    renewals = 9;
    const replaceKey = vi.spyOn(metastore, 'replaceKey').mockResolvedValue('changed');
    const { systemKeys } = await maintenance().run();
    expect(systemKeys[0]?.fault).toBe('MetastoreUnavailable: The row changed during each attempt to renew its wraps.');
    expect(replaceKey).toHaveBeenCalledTimes(3);
  });

  it('reports a fault for a row that was deleted before its new wraps were stored', async () => {
    await service().session('p').encrypt(PAYLOAD);
    renewals = 9;
    vi.spyOn(metastore, 'replaceKey').mockResolvedValue('changed');
    vi.spyOn(metastore, 'load').mockResolvedValue(undefined);
    const { systemKeys } = await maintenance().run();
    expect(systemKeys[0]?.fault).toMatch(/^MetastoreUnavailable: The row changed during each attempt/);
  });

  it('makes the next System Key when expireAfterMs in the policy requires one, and emits keyCreated', async () => {
    const policy = { expireAfterMs: 10 * DAY_MS };
    const keyCreated = vi.fn<EnvelopeEvents['keyCreated']>();
    const run = (): Promise<MaintenanceReport> =>
      maintenance({ policy, events: { ...NO_ENVELOPE_EVENTS, keyCreated } }).run();
    await service().session('p').encrypt(PAYLOAD);
    clock.advance(8 * DAY_MS);
    expect((await run()).created).toBeUndefined();
    clock.advance(3 * DAY_MS);
    const { created, systemKeys } = await run();
    expect(systemKeys.map(({ state }) => state)).toEqual(['expired']);
    expect(keyCreated.mock.calls).toEqual([['system', created]]);
  });

  it('throws a TypeError for a wrap that is not bytes, and for limits of the wrong type', async () => {
    await service().session('p').encrypt(PAYLOAD);
    kms.renew = async () => ({ regions: [], renewed: 'text' as never });
    const replaceKey = vi.spyOn(metastore, 'replaceKey');
    await expect(maintenance().run()).rejects.toThrow('The answer of kms.renew.renewed must be a Uint8Array');
    expect(replaceKey).not.toHaveBeenCalled();
    await expect(maintenance().run({ deadlineAtMs: 'soon' as never })).rejects.toThrow('limits.deadlineAtMs must be');
  });

  it('reports a fault for a System Key that is not wrapped by KMS', async () => {
    await service().session('p').encrypt(PAYLOAD);
    kms.renew = async () => ({ regions: [], renewed: undefined, unreadable: 'it is not wrapped by KMS' });
    const [row] = await metastore.rows(SYSTEM_KEY_ID);
    const { id, created } = row as KeyMeta;
    expect((await maintenance().run()).systemKeys).toEqual([
      { id, created, state: 'valid', regions: [], fault: 'it is not wrapped by KMS' },
    ]);
  });

  it('checks the existing keys even if KMS hangs while the next key is being made', async () => {
    await service().session('p').encrypt(PAYLOAD);
    clock.advance(85 * DAY_MS);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const inTime: boolean[] = [];
    kms.renew = async (_wrapped, { signal }) => {
      inTime.push(!signal.aborted);
      return { regions: [], renewed: undefined };
    };
    kms.wrap = (_key, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    const report = maintenance().run({ deadlineAtMs: clock.now() + 40 });
    await vi.advanceTimersByTimeAsync(40);
    vi.useRealTimers();
    const { createFault } = await report;
    expect(createFault).toMatch(/^DeadlineExceeded/);
    expect(inTime).toEqual([true]);
  });

  it('makes the next System Key only once a tenth of the lifetime of the current System Key is left', async () => {
    const first = await service().session('p').encrypt(PAYLOAD);
    clock.advance(80 * DAY_MS);
    expect((await maintenance().run()).created).toBeUndefined();
    clock.advance(DAY_MS);
    const { created } = await maintenance().run();
    expect(await createdTimes()).toEqual([created?.created, expect.any(Number)]);
    expect((await maintenance().run()).created).toBeUndefined();
    // Once the first key has expired, a request unwraps the next key instead of making one.
    clock.advance(10 * DAY_MS);
    fake.log.take();
    const next = await service().session('p').encrypt(PAYLOAD);
    expect(fake.log.take()).toEqual(['Unwrap']);
    expect(next.key.parent.created).toBeGreaterThan(first.key.parent.created);
    expect(await service().session('p').decrypt(first)).toEqual(PAYLOAD);
  });

  it('makes a System Key if none exists, or if the current System Key is revoked', async () => {
    expect((await maintenance().run()).created).toEqual({ id: SYSTEM_KEY_ID, created: expect.any(Number) });
    const [row] = await metastore.rows(SYSTEM_KEY_ID);
    const revoked = new MemoryMetastore();
    if (row !== undefined) await revoked.store({ ...row, revoked: true });
    clock.advance(MINUTE_MS);
    const report = await maintenance({ metastore: revoked }).run();
    expect(report.systemKeys.map(({ state }) => state)).toEqual(['revoked']);
    expect(report.created?.created).toBeGreaterThan(row?.created ?? 0);
  });

  it.for(['minSealingCreated', 'minOpeningCreated'] as const)(
    'makes a System Key if the current System Key is older than %s',
    async (minimum) => {
      const created = (await maintenance().run()).created?.created ?? 0;
      clock.advance(MINUTE_MS);
      expect((await maintenance({ policy: { [minimum]: created } }).run()).created).toBeUndefined();
      const next = (await maintenance({ policy: { [minimum]: created + 1 } }).run()).created?.created;
      expect(next).toBeGreaterThan(created);
    },
  );

  it('makes only one System Key if ten runs are concurrent', async () => {
    await Promise.all(Array.from({ length: 10 }, () => maintenance().run()));
    expect(await createdTimes()).toHaveLength(1);
  });

  it('renews the existing keys even if KMS cannot make the next key, and reports the cause', async () => {
    await service().session('p').encrypt(PAYLOAD);
    clock.advance(85 * DAY_MS);
    renewals = 1;
    fake.interfere = () => {
      throw new KeyfoldError('KmsUnavailable', 'No KMS region answered.');
    };
    const report = await maintenance().run();
    expect(report.createFault).toBe('KmsUnavailable: No KMS region answered.');
    expect(report.systemKeys[0]?.regions[0]?.renewed).toBe(true);
  });

  it('reports a row that does not parse, and checks the other rows', async () => {
    await service().session('p').encrypt(PAYLOAD);
    const rows = await metastore.rows(SYSTEM_KEY_ID);
    const broken = { id: '_SK_svc_prod', created: 9, unreadable: 'KeyRecord.Key is missing' };
    vi.spyOn(metastore, 'rows').mockResolvedValue([broken as never, ...rows]);
    const { systemKeys } = await maintenance().run();
    expect(systemKeys.map(({ state }) => state)).toEqual(['unreadable', 'valid']);
    const { unreadable: fault, ...key } = broken;
    expect(systemKeys[0]).toEqual({ ...key, state: 'unreadable', regions: [], fault });
  });

  it('checks all other keys if one key fails, and reports why that key failed', async () => {
    for (let i = 0; i < 3; i += 1) {
      await service().session('p').encrypt(PAYLOAD);
      clock.advance(91 * DAY_MS);
    }
    const [, second] = await metastore.rows(SYSTEM_KEY_ID);
    renewals = 3;
    const replaceKey = metastore.replaceKey.bind(metastore);
    vi.spyOn(metastore, 'replaceKey').mockImplementation(async (record, key) => {
      if (record.created === second?.created) throw new KeyfoldError('MetastoreUnavailable', 'denied');
      return replaceKey(record, key);
    });
    const { systemKeys, created } = await maintenance().run();
    const { id, created: at } = second ?? {};
    expect(systemKeys[1]).toMatchObject({ id, created: at, state: 'expired', regions: [] });
    expect(systemKeys.map(({ fault }) => fault)).toEqual([undefined, 'MetastoreUnavailable: denied', undefined]);
    expect(created?.created).toBeGreaterThan(systemKeys[0]?.created ?? Infinity);
  });

  it('ends at its deadline, and reports the keys that it could not check', async () => {
    await service().session('p').encrypt(PAYLOAD);
    kms = {
      ...kms,
      renew: (_wrapped, d) =>
        new Promise((_, reject) => d.signal.addEventListener('abort', () => reject(d.signal.reason as Error))),
    };
    const { systemKeys } = await maintenance().run({ deadlineAtMs: clock.now() + 20 });
    expect(systemKeys[0]?.fault).toMatch(/^DeadlineExceeded/);
  });
});
