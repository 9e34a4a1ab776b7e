import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EnvelopeKey } from '../../../src/envelope/envelope-key.ts';
import { KeyCache } from '../../../src/envelope/key-cache.ts';
import { NO_ENVELOPE_EVENTS } from '../../../src/envelope/ports.ts';
import {
  KeyfoldError,
  type DataRowRecord,
  type Deadline,
  type EnvelopeKeyRecord,
  type Session,
  type SessionFactory,
  type SessionFactoryOptions,
} from '../../../src/index.ts';
import { codeOf, DAY_MS, errorOf, FakeDependencies, MINUTE_MS, noDeadline } from '../../support/fakes.ts';

const PAYLOAD = Buffer.from('payload');
const partitions = (count: number): string[] => Array.from({ length: count }, (_, i) => `p${i}`);
let world: FakeDependencies;

beforeEach(() => {
  world = new FakeDependencies();
});

/** Counts the calls to the metastore and the KMS by name. */
function counts(): Record<string, number> {
  return Object.fromEntries(
    Object.entries(Object.groupBy(world.log.take(), (call) => call)).map(([k, v = []]) => [k, v.length]),
  );
}

/** Delays one kind of metastore call until `release` is called, and collects the signals of these calls. */
function hold(held: string): { release: () => void; signals: AbortSignal[] } {
  const signals: AbortSignal[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  world.metastore.interfere = async (call, { signal }) => {
    if (call !== held) return;
    signals.push(signal);
    await promise;
  };
  return { release: resolve, signals };
}

describe('a key load that concurrent requests share', () => {
  it('serves 100 encrypts for a new partition', async () => {
    const session = world.process().session('p');
    const records = await Promise.all(Array.from({ length: 100 }, () => session.encrypt(PAYLOAD)));
    expect(counts()).toEqual({ 'Query IK': 1, 'Query SK': 1, Wrap: 1, 'Put SK': 1, 'Put IK': 1 });
    for (const record of records) expect(await session.decrypt(record)).toEqual(PAYLOAD);
  });

  it('unwraps the System Key once for 100 encrypts in 100 partitions', async () => {
    await Promise.all(partitions(100).map((p) => world.process().session(p).encrypt(PAYLOAD)));
    const service = world.process();
    world.log.take();
    await Promise.all(partitions(100).map((p) => service.session(p).encrypt(PAYLOAD)));
    expect(counts()).toEqual({ 'Query IK': 100, 'Get SK': 1, Unwrap: 1 });
  });

  it('unwraps the System Key once for 200 decrypts in 100 partitions', async () => {
    const maker = world.process();
    const records = await Promise.all(partitions(100).map((p) => maker.session(p).encrypt(PAYLOAD)));
    const service = world.process();
    world.log.take();
    await Promise.all(records.flatMap((r, i) => [r, r].map((record) => service.session(`p${i}`).decrypt(record))));
    expect(counts()).toEqual({ 'Get IK': 100, 'Get SK': 1, Unwrap: 1 });
  });

  it('reads the System Key once, even for requests that begin while KMS unwraps the key', async () => {
    const maker = world.process();
    const records = await Promise.all(partitions(20).map((p) => maker.session(p).encrypt(PAYLOAD)));
    const service = world.process();
    world.log.take();
    const unwrap = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    world.kms.interfere = (): Promise<void> => (asked.resolve(), unwrap.promise);
    const first = service.session('p0').decrypt(records[0] as DataRowRecord);
    await asked.promise;
    const others = [
      ...records.slice(1, 10).map((record, i) => service.session(`p${i + 1}`).decrypt(record)),
      ...partitions(20)
        .slice(10)
        .map((p) => service.session(p).encrypt(PAYLOAD)),
    ];
    await new Promise((resolve) => setImmediate(resolve));
    unwrap.resolve();
    await Promise.all([first, ...others]);
    expect(counts()).toEqual({ 'Get IK': 10, 'Query IK': 10, 'Get SK': 1, Unwrap: 1 });
  });

  it('unwraps the System Key once for decrypts, encrypts and new partitions together', async () => {
    const records = await Promise.all(partitions(20).map((p) => world.process().session(p).encrypt(PAYLOAD)));
    const service = world.process();
    world.log.take();
    await Promise.all([
      ...records.map((record, i) => service.session(`p${i}`).decrypt(record)),
      ...partitions(20).map((p) => service.session(p).encrypt(PAYLOAD)),
      ...partitions(20).map((p) => service.session(`new-${p}`).encrypt(PAYLOAD)),
    ]);
    expect(counts()).toEqual({ 'Get IK': 20, 'Query IK': 40, 'Get SK': 1, 'Query SK': 1, Unwrap: 1, 'Put IK': 20 });
  });

  it('makes one System Key for 10,000 new partitions in one process', async () => {
    const service = world.process();
    await Promise.all(partitions(10_000).map((p) => service.session(p).encrypt(PAYLOAD)));
    expect(counts()).toEqual({ 'Query IK': 10_000, 'Query SK': 1, Wrap: 1, 'Put SK': 1, 'Put IK': 10_000 });
  });

  it('makes all waiting requests fail if the load fails, and starts again at the next request', async () => {
    const service = world.process();
    await service.session('well').encrypt(PAYLOAD);
    world.metastore.interfere = (call) => {
      if (call === 'Query IK') throw new KeyfoldError('MetastoreUnavailable', 'down');
    };
    const failing = Array.from({ length: 10 }, () => codeOf(service.session('p').encrypt(PAYLOAD)));
    expect(new Set(await Promise.all(failing))).toEqual(new Set(['MetastoreUnavailable']));
    expect((await service.session('well').encrypt(PAYLOAD)).data).toHaveLength(PAYLOAD.length + 28);
    world.metastore.interfere = () => {};
    expect((await service.session('p').encrypt(PAYLOAD)).data).toHaveLength(PAYLOAD.length + 28);
  });
});

describe('a cached key', () => {
  it('serves requests without a call to the metastore or the KMS', async () => {
    const session = world.process().session('p');
    const record = await session.encrypt(PAYLOAD);
    world.log.take();
    for (let i = 0; i < 100; i += 1) {
      await session.encrypt(PAYLOAD);
      await session.decrypt(record);
      await session.rewrap(record);
    }
    expect(world.log.take()).toEqual([]);
  });

  it('that a decrypt has loaded also seals the Intermediate Key of a new partition', async () => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    const service = world.process();
    await service.session('p').decrypt(record);
    await service.session('p').encrypt(PAYLOAD);
    world.log.take();
    await service.session('new').encrypt(PAYLOAD);
    expect(world.log.take()).toEqual(['Query IK', 'Put IK']);
  });

  it('serves a request even if the deadline of the request has passed', async () => {
    const session = world.process().session('p');
    await session.encrypt(PAYLOAD);
    expect((await session.encrypt(PAYLOAD, { deadlineAtMs: 0 })).key.created).toBeGreaterThan(0);
  });
});

describe('a request that waits for a key', () => {
  it('fails at its own deadline, while the load continues for other requests', async () => {
    const session = world.process().session('p');
    const { release } = hold('Query IK');
    const patient = session.encrypt(PAYLOAD);
    const hasty = session.encrypt(PAYLOAD, { deadlineAtMs: world.clock.nowMs + 20 });
    expect(await codeOf(hasty)).toBe('DeadlineExceeded');
    release();
    expect((await patient).data).toHaveLength(PAYLOAD.length + 28);
    expect(counts()['Query IK']).toBe(1);
  });

  it.for([
    ['Get IK', 'p'],
    ['Get SK', 'q'],
    ['Unwrap', 'q'],
  ] as const)(
    'does not abort the call %s at its own deadline if a decrypt in partition %s also waits',
    async ([call, partition]) => {
      const maker = world.process();
      const own = await maker.session('p').encrypt(PAYLOAD);
      const other = await maker.session(partition).encrypt(PAYLOAD);
      const service = world.process();
      const { release, signals } = hold(call);
      world.kms.interfere = world.metastore.interfere;
      const hasty = service.session('p').decrypt(own, { deadlineAtMs: world.clock.nowMs + 20 });
      const patient = service.session(partition).decrypt(other);
      expect(await codeOf(hasty)).toBe('DeadlineExceeded');
      expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
      release();
      expect(await patient).toEqual(PAYLOAD);
    },
  );

  it.for(['Query SK', 'Unwrap', 'Wrap', 'Put SK'])(
    'does not abort the call %s at its own deadline if an encrypt in another partition also waits',
    async (call) => {
      if (call === 'Unwrap') await world.process().session('other').encrypt(PAYLOAD);
      const service = world.process();
      const { release, signals } = hold(call);
      world.kms.interfere = world.metastore.interfere;
      const hasty = service.session('p').encrypt(PAYLOAD, { deadlineAtMs: world.clock.nowMs + 20 });
      const patient = service.session('q').encrypt(PAYLOAD);
      expect(await codeOf(hasty)).toBe('DeadlineExceeded');
      expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
      release();
      expect((await patient).data).toHaveLength(PAYLOAD.length + 28);
    },
  );

  it("rejects with its signal's abort reason", async () => {
    const session = world.process().session('p');
    const { release } = hold('Query IK');
    const controller = new AbortController();
    const leaving = session.encrypt(PAYLOAD, { signal: controller.signal });
    const reason = new Error('no longer wanted');
    setImmediate(() => controller.abort(reason));
    expect(await errorOf(leaving)).toBe(reason);
    expect(await errorOf(session.encrypt(PAYLOAD, { signal: controller.signal }))).toBe(reason);
    release();
  });

  it('leaves no timer or listener behind, whether it succeeds or aborts', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const controller = new AbortController();
      const limits = { deadlineAtMs: world.clock.nowMs + 1000, signal: controller.signal };
      const record = await world.process().session('p').encrypt(PAYLOAD, limits);
      await world.process().session('p').decrypt(record, limits);
      world.metastore.interfere = () => Promise.reject(new KeyfoldError('MetastoreUnavailable', 'down'));
      expect(await codeOf(world.process().session('p').decrypt(record, limits))).toBe('MetastoreUnavailable');
      expect(vi.getTimerCount()).toBe(0);
      expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('aborts the load at its deadline if no other request waits, and the next request starts a new load', async () => {
    const session = world.process().session('p');
    const { release, signals } = hold('Query IK');
    const hasty = [20, 30].map((ms) => session.encrypt(PAYLOAD, { deadlineAtMs: world.clock.nowMs + ms }));
    expect(await Promise.all(hasty.map(codeOf))).toEqual(['DeadlineExceeded', 'DeadlineExceeded']);
    expect(signals.map((signal) => signal.aborted)).toEqual([true]);
    release();
    expect((await session.encrypt(PAYLOAD)).data).toHaveLength(PAYLOAD.length + 28);
    expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
  });

  it('at its deadline, aborts a load that is reading the System Key if no other request waits for the load', async () => {
    await world.process().session('p').encrypt(PAYLOAD);
    const session = world.process().session('p');
    const { release, signals } = hold('Get SK');
    expect(await codeOf(session.encrypt(PAYLOAD, { deadlineAtMs: world.clock.nowMs + 20 }))).toBe('DeadlineExceeded');
    expect(signals.map((signal) => signal.aborted)).toEqual([true]);
    release();
  });

  it('fails with DeadlineExceeded if the load takes longer than flightTimeoutMs', async () => {
    const session = world.process({ policy: { flightTimeoutMs: 20 } }).session('p');
    const { release, signals } = hold('Query IK');
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('DeadlineExceeded');
    expect(signals[0]?.aborted).toBe(true);
    release();
  });
});

describe('the key cache', () => {
  it('replaces its copy of a key when the key is loaded again', async () => {
    const service = world.process();
    const record = await service.session('p').encrypt(PAYLOAD);
    world.clock.advance(61 * MINUTE_MS);
    await service.session('p').decrypt(record);
    world.log.take();
    for (let i = 0; i < 3; i += 1) await service.session('p').decrypt(record);
    expect(world.log.take()).toEqual([]);
    const limits = { maxKeys: 2, maxAgeMs: 60, graceMs: 0, evicted: () => {} };
    const cache = new KeyCache(limits, world.clock.now);
    const key = (): EnvelopeKey =>
      new EnvelopeKey(Buffer.alloc(32), world.clock.now(), { id: 'a', created: 60 } as never);
    cache.putLatest(key(), () => false);
    const again = key();
    cache.put(again);
    expect(cache.latest('a' as never)).toBe(again);
    cache.put(new EnvelopeKey(Buffer.alloc(32), world.clock.now(), { id: 'b', created: 60 } as never));
    cache.put(new EnvelopeKey(Buffer.alloc(32), world.clock.now(), { id: 'c', created: 60 } as never));
    expect(cache.latest('a' as never)).toBeUndefined();
  });

  it('replaces the latest key of an ID by an older key only if the later key is retired', () => {
    const cache = new KeyCache({ maxKeys: 9, maxAgeMs: 60, graceMs: 0, evicted: () => {} }, world.clock.now);
    const [older, later] = [60, 120].map(
      (created) => new EnvelopeKey(Buffer.alloc(32), world.clock.now(), { id: 'a', created } as never),
    ) as [EnvelopeKey, EnvelopeKey];
    cache.putLatest(later, () => false);
    cache.putLatest(older, () => false);
    expect(cache.latest('a' as never)).toBe(later);
    cache.putLatest(older, () => true);
    expect(cache.latest('a' as never)).toBe(older);
    cache.putLatest(later, () => false);
    expect(cache.latest('a' as never)).toBe(later);
  });

  it('drops unused keys after their maximum age and their grace period', () => {
    const limits = { maxKeys: 10, maxAgeMs: 60 * MINUTE_MS, graceMs: 15 * MINUTE_MS, evicted: () => {} };
    const cache = new KeyCache(limits, world.clock.now);
    const key = (id: string): EnvelopeKey =>
      new EnvelopeKey(Buffer.alloc(32), world.clock.now(), { id, created: 60 } as never);
    cache.put(key('a'));
    world.clock.advance(75 * MINUTE_MS - 1);
    cache.put(key('b'));
    expect(cache.size).toBe(2);
    world.clock.advance(60 * MINUTE_MS);
    cache.put(key('b'));
    expect(cache.size).toBe(1);
    world.clock.advance(75 * MINUTE_MS);
    expect(cache.get('b' as never, 60 as never)).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  it('keeps no reference to a dropped key, so that the garbage collector can remove the key', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const cache = new KeyCache({ maxKeys: 10, maxAgeMs: 1000, graceMs: 0, evicted: () => {} }, world.clock.now);
    const putOne = (): WeakRef<EnvelopeKey> => {
      const key = new EnvelopeKey(Buffer.alloc(32), world.clock.now(), { id: 'a', created: 60 } as never);
      cache.put(key);
      return new WeakRef(key);
    };
    const key = putOne();
    await sleep(0);
    collectGarbage();
    expect(key.deref()).toBeDefined();
    world.clock.advance(1000);
    expect(cache.get('a' as never, 60 as never)).toBeUndefined();
    // The target of a WeakRef stays alive until the current task ends.
    await sleep(0);
    collectGarbage();
    expect(key.deref()).toBeUndefined();
  });

  it('holds up to maxSystemKeys System Keys', async () => {
    const maker = world.process();
    const first = await maker.session('p').encrypt(PAYLOAD);
    world.clock.advance(91 * DAY_MS);
    const second = await maker.session('p').encrypt(PAYLOAD);
    for (const [maxSystemKeys, calls] of [
      [1, ['Get IK', 'Get SK', 'Unwrap']],
      [2, ['Get IK']],
    ] as const) {
      const session = world.process({ policy: { maxSystemKeys, intermediateKeyMaxAgeMs: MINUTE_MS } }).session('p');
      for (const record of [first, second]) await session.decrypt(record);
      world.clock.advance(MINUTE_MS);
      world.log.take();
      await session.decrypt(first);
      expect(world.log.take()).toEqual(calls);
    }
  });

  it('reads an evicted System Key once, and makes more keys under this System Key without another read', async () => {
    await world.process().session('p').encrypt(PAYLOAD);
    world.clock.advance(2 * MINUTE_MS);
    const [system] = world.metastore.ofKind('SK');
    world.metastore.change({ ...system, proof: undefined, created: Math.floor(world.clock.nowMs / 1000) } as never, {});
    await world.process().session('q').encrypt(PAYLOAD);
    const policy = { maxSystemKeys: 1, systemKeyMaxAgeMs: DAY_MS, intermediateKeyMaxAgeMs: DAY_MS };
    const service = world.process({ policy });
    for (const partition of ['p', 'q']) await service.session(partition).encrypt(PAYLOAD);
    world.clock.advance(60 * MINUTE_MS);
    world.log.take();
    await service.session('p').encrypt(PAYLOAD);
    expect(world.log.take()).toEqual(['Query IK', 'Get SK', 'Unwrap']);
    await service.session('p').encrypt(PAYLOAD);
    expect(world.log.take()).toEqual([]);
  });

  it('keeps the latest key of a partition when it drops an older key of that partition', async () => {
    const service = world.process({ policy: { maxIntermediateKeys: 2 } });
    const old = await service.session('p').encrypt(PAYLOAD);
    world.clock.advance(91 * DAY_MS);
    await service.session('p').encrypt(PAYLOAD);
    await service.session('p').decrypt(old);
    await service.session('p').encrypt(PAYLOAD);
    await service.session('q').encrypt(PAYLOAD);
    world.log.take();
    await service.session('p').encrypt(PAYLOAD);
    expect(world.log.take()).toEqual([]);
  });

  it("returns another process's newer key as soon as a read has found it", async () => {
    const service = world.process();
    const old = await service.session('p').encrypt(PAYLOAD);
    world.clock.advance(61 * MINUTE_MS);
    const other = world.process({ policy: { wearsOut: () => true } });
    const newer = await other.session('p').encrypt(PAYLOAD);
    expect(newer.key.parent.created).toBeGreaterThan(old.key.parent.created);
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent).toEqual(newer.key.parent);
    world.log.take();
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent).toEqual(newer.key.parent);
    expect(world.log.take()).toEqual([]);
  });

  it('drops plaintext keys at their maximum age, even if they are used only to decrypt', async () => {
    const service = world.process({
      policy: { systemKeyMaxAgeMs: 10 * MINUTE_MS, intermediateKeyMaxAgeMs: 5 * MINUTE_MS },
    });
    const record = await service.session('p').encrypt(PAYLOAD);
    world.clock.advance(5 * MINUTE_MS);
    world.log.take();
    await service.session('p').decrypt(record);
    expect(world.log.take()).toEqual(['Get IK']);
    world.clock.advance(5 * MINUTE_MS);
    await service.session('p').decrypt(record);
    expect(world.log.take()).toEqual(['Get IK', 'Get SK', 'Unwrap']);
  });

  it('drops a key at its maximum age even if the key is in use', async () => {
    const service = world.process({ policy: { intermediateKeyMaxAgeMs: 5 * MINUTE_MS } });
    const record = await service.session('p').encrypt(PAYLOAD);
    world.log.take();
    for (let minute = 0; minute < 5; minute += 1) {
      await service.session('p').decrypt(record);
      world.clock.advance(MINUTE_MS);
    }
    expect(world.log.take()).toEqual([]);
    await service.session('p').decrypt(record);
    expect(world.log.take()).toEqual(['Get IK']);
  });

  it('evicts the least recently used key when the cache is full', async () => {
    const service = world.process({ policy: { maxIntermediateKeys: 3 } });
    const records = new Map<string, Awaited<ReturnType<ReturnType<typeof service.session>['encrypt']>>>();
    for (const p of ['a', 'b', 'c']) records.set(p, await service.session(p).encrypt(PAYLOAD));
    const decrypt = (p: string): Promise<Buffer> => service.session(p).decrypt(records.get(p) as never);
    await decrypt('a');
    await service.session('d').encrypt(PAYLOAD);
    world.log.take();
    for (const p of ['a', 'c']) await decrypt(p);
    expect(world.log.take()).toEqual([]);
    await decrypt('b');
    expect(world.log.take()).toEqual(['Get IK']);
  });

  it('does not treat a key as the latest just because decrypt has loaded it', async () => {
    const maker = world.process();
    const old = await maker.session('p').encrypt(PAYLOAD);
    // Another process has made a newer key. The old key may still seal, but is no longer the latest.
    world.clock.advance(2 * MINUTE_MS);
    const [row] = world.metastore.ofKind('IK');
    const newer = { ...row, proof: undefined, created: (row?.created ?? 0) + 60 };
    world.metastore.rows.set(`${row?.id} ${newer.created}`, newer as never);
    const service = world.process();
    await service.session('p').decrypt(old);
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent.created).toBe(newer.created);
    await service.session('p').decrypt(old);
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent.created).toBe(newer.created);
  });
});

function takeDown(code: 'MetastoreUnavailable' | 'KeyRowUnreadable' = 'MetastoreUnavailable'): void {
  world.metastore.interfere = () => {
    throw new KeyfoldError(code, 'down');
  };
}

describe('a warm process during a metastore outage', () => {
  const stale: string[] = [];
  let factory: SessionFactory;
  let session: Session;
  let record: DataRowRecord;

  const warm = async (options: Partial<SessionFactoryOptions> = {}): Promise<void> => {
    const events = { ...NO_ENVELOPE_EVENTS, servedStale: (key: { id: string }): unknown => stale.push(key.id) };
    factory = world.process({ events, ...options });
    session = factory.session('p');
    record = await session.encrypt(PAYLOAD);
    world.log.take();
  };

  beforeEach(async () => {
    stale.length = 0;
    await warm();
  });
  afterEach(() => vi.useRealTimers());

  it('encrypts and decrypts until the grace period ends, and reports servedStale', async () => {
    takeDown();
    world.clock.advance(60 * MINUTE_MS);
    expect((await session.encrypt(PAYLOAD)).key.parent).toEqual(record.key.parent);
    expect(await session.decrypt(record)).toEqual(PAYLOAD);
    expect(stale).toEqual(['_IK_p_svc_prod']);
    world.clock.advance(15 * MINUTE_MS - 1);
    expect(await session.decrypt(record)).toEqual(PAYLOAD);
    expect((await session.encrypt(PAYLOAD)).key.parent).toEqual(record.key.parent);
    world.clock.advance(1);
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
    expect(await codeOf(session.decrypt(record))).toBe('MetastoreUnavailable');
  });

  it("reads a record's key again after five seconds, and not a millisecond earlier", async () => {
    takeDown();
    world.clock.advance(60 * MINUTE_MS);
    for (let i = 0; i < 3; i += 1) await session.decrypt(record);
    expect(world.log.take()).toEqual(['Get IK']);
    world.clock.advance(4999);
    await session.decrypt(record);
    expect(world.log.take()).toEqual([]);
    world.clock.advance(1);
    await session.decrypt(record);
    expect(world.log.take()).toEqual(['Get IK']);
  });

  it("opens a record under the record's own key, even if a newer key is in the cache", async () => {
    world.clock.advance(30 * MINUTE_MS);
    const [row] = world.metastore.ofKind('IK');
    if (row !== undefined) world.metastore.change(row, { revoked: true });
    world.clock.advance(31 * MINUTE_MS);
    const newer = await session.encrypt(PAYLOAD);
    expect(newer.key.parent.created).toBeGreaterThan(record.key.parent.created);
    await session.decrypt(record);
    takeDown();
    world.clock.advance(60 * MINUTE_MS);
    expect(await session.decrypt(record)).toEqual(PAYLOAD);
    expect(await session.decrypt(newer)).toEqual(PAYLOAD);
    expect(stale).toHaveLength(2);
  });

  it('looks for a newer key after five seconds, and not a millisecond earlier', async () => {
    takeDown();
    world.clock.advance(60 * MINUTE_MS);
    for (let i = 0; i < 3; i += 1) await session.encrypt(PAYLOAD);
    expect(world.log.take()).toEqual(['Query IK']);
    world.clock.advance(4999);
    await session.encrypt(PAYLOAD);
    expect(world.log.take()).toEqual([]);
    world.clock.advance(1);
    await session.encrypt(PAYLOAD);
    expect(world.log.take()).toEqual(['Query IK']);
  });

  it('keeps a key until its grace period ends, even if the process loads other keys meanwhile', async () => {
    world.clock.advance(61 * MINUTE_MS);
    await world.process().session('q').encrypt(PAYLOAD);
    await factory.session('q').encrypt(PAYLOAD);
    takeDown();
    expect(await session.decrypt(record)).toEqual(PAYLOAD);
  });

  it('does not use a key if its grace period ends during the read', async () => {
    world.clock.advance(75 * MINUTE_MS - 1);
    world.metastore.interfere = () => {
      world.clock.advance(1);
      throw new KeyfoldError('MetastoreUnavailable', 'down');
    };
    expect(await codeOf(session.decrypt(record))).toBe('MetastoreUnavailable');
  });

  it('reads the metastore again after five seconds, and obeys a revocation that it finds', async () => {
    takeDown();
    world.clock.advance(60 * MINUTE_MS);
    for (let i = 0; i < 10; i += 1) await session.encrypt(PAYLOAD);
    expect(world.log.take()).toEqual(['Query IK']);
    const [row] = world.metastore.ofKind('IK');
    if (row !== undefined) world.metastore.change(row, { revoked: true });
    world.metastore.interfere = () => {};
    world.clock.advance(5000);
    expect((await session.encrypt(PAYLOAD)).key.parent.created).toBeGreaterThan(record.key.parent.created);
  });

  it("waits for a stalled metastore for only one second, and not until the request's deadline", async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    world.clock.advance(60 * MINUTE_MS);
    world.metastore.interfere = () => new Promise(() => {});
    const sealed = session.encrypt(PAYLOAD);
    await vi.advanceTimersByTimeAsync(1000);
    expect((await sealed).key.parent).toEqual(record.key.parent);
  });

  it('waits one second if only the read of the System Key stalls', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    world.clock.advance(60 * MINUTE_MS);
    const signals: AbortSignal[] = [];
    world.metastore.interfere = (call, { signal }) => {
      if (!call.endsWith('SK')) return undefined;
      signals.push(signal);
      return new Promise(() => {});
    };
    const deadlineAtMs = world.clock.now() + 5000;
    const sealed = session.encrypt(PAYLOAD, { deadlineAtMs });
    const opened = session.decrypt(record, { deadlineAtMs });
    const both = Promise.allSettled([sealed, opened]);
    await vi.advanceTimersByTimeAsync(999);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
    expect(stale).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    expect(stale).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(5000);
    expect(await both).toMatchObject([{ status: 'fulfilled' }, { status: 'fulfilled', value: PAYLOAD }]);
  });

  it('waits one second, and then encrypts under its cached key, if the read of the older keys hangs', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    world.clock.advance(60 * MINUTE_MS);
    const [row] = world.metastore.ofKind('IK') as [EnvelopeKeyRecord];
    const created = (Math.floor(world.clock.nowMs / 1000) + 300) as EnvelopeKeyRecord['created'];
    world.metastore.change({ ...row, created }, { revoked: true });
    world.metastore.interfere = (call) => (call === 'Recent IK' ? new Promise(() => {}) : undefined);
    const sealed = session.encrypt(PAYLOAD);
    await vi.advanceTimersByTimeAsync(1000);
    expect((await sealed).key.parent).toEqual(record.key.parent);
  });

  it('waits one second if only the read of the tombstone stalls', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    world.clock.advance(61 * MINUTE_MS);
    for (const row of world.metastore.ofKind('IK')) world.metastore.remove(row);
    let reads = 0;
    world.metastore.interfere = () => ((reads += 1) === 2 ? new Promise(() => {}) : undefined);
    const opened = session.decrypt(record);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await opened).toEqual(PAYLOAD);
  });

  it('waits for at most half of the time that the request has left', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    world.clock.advance(60 * MINUTE_MS);
    world.metastore.interfere = () => new Promise(() => {});
    const sealed = Promise.allSettled([session.encrypt(PAYLOAD, { deadlineAtMs: world.clock.now() + 100 })]);
    await vi.advanceTimersByTimeAsync(100);
    expect(await sealed).toMatchObject([{ status: 'fulfilled', value: { key: { parent: record.key.parent } } }]);
  });

  it('never encrypts under a key that a decrypt has found to be revoked', async () => {
    const [row] = world.metastore.ofKind('IK');
    if (row !== undefined) world.metastore.change(row, { revoked: true });
    world.clock.advance(61 * MINUTE_MS);
    await session.decrypt(record);
    takeDown();
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
  });

  it('never encrypts under a key that a decrypt has found to be revoked, even if KMS made the decrypt fail', async () => {
    const [row] = world.metastore.ofKind('IK');
    if (row !== undefined) world.metastore.change(row, { revoked: true });
    world.clock.advance(61 * MINUTE_MS);
    world.kms.interfere = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'down'));
    expect(await codeOf(session.decrypt(record))).toBe('KmsUnavailable');
    takeDown();
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
  });

  it('fails if the grace period ends while the metastore does not answer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    world.clock.advance(75 * MINUTE_MS - 1);
    world.metastore.interfere = () => new Promise(() => {});
    const failed = errorOf(session.encrypt(PAYLOAD));
    await vi.advanceTimersByTimeAsync(500);
    world.clock.advance(1);
    await vi.advanceTimersByTimeAsync(500);
    expect(await failed).toMatchObject({
      code: 'MetastoreUnavailable',
      message: 'The metastore did not answer within a second.',
    });
  });

  it('does not mistake a hanging KMS region for a metastore outage', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    world.clock.advance(61 * MINUTE_MS);
    world.kms.interfere = () => new Promise((resolve) => setTimeout(resolve, 2500));
    const opened = session.decrypt(record);
    await vi.advanceTimersByTimeAsync(2500);
    expect(await opened).toEqual(PAYLOAD);
    expect(stale).toEqual([]);
  });

  it('waits longer than one second for a new key if the old key is revoked', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const [row] = world.metastore.ofKind('IK');
    if (row !== undefined) world.metastore.change(row, { revoked: true });
    world.clock.advance(61 * MINUTE_MS);
    world.kms.interfere = () => new Promise((resolve) => setTimeout(resolve, 1500));
    const sealed = session.encrypt(PAYLOAD);
    await vi.advanceTimersByTimeAsync(1500);
    expect((await sealed).key.parent.created).toBeGreaterThan(record.key.parent.created);
  });

  it('never encrypts under a key that an encrypt has found to be revoked', async () => {
    const [row] = world.metastore.ofKind('IK');
    if (row !== undefined) world.metastore.change(row, { revoked: true });
    world.metastore.interfere = (call) => {
      if (call.startsWith('Put')) throw new KeyfoldError('MetastoreUnavailable', 'down');
    };
    world.clock.advance(60 * MINUTE_MS);
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
    takeDown();
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
    expect(stale).toEqual([]);
  });

  it('fails even within the grace period if a row is unreadable or the KMS key is disabled', async () => {
    world.clock.advance(60 * MINUTE_MS);
    takeDown('KeyRowUnreadable');
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('KeyRowUnreadable');
    world.metastore.interfere = () => {};
    world.kms.interfere = () => {
      throw new KeyfoldError('KmsMisconfigured', 'disabled');
    };
    expect(await codeOf(session.decrypt(record))).toBe('KmsMisconfigured');
  });

  it('uses no stale key if staleGraceMs is zero', async () => {
    await warm({ policy: { staleGraceMs: 0 } });
    takeDown();
    world.clock.advance(60 * MINUTE_MS);
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
    expect(await codeOf(session.decrypt(record))).toBe('MetastoreUnavailable');
  });
});

describe('a key that is absent', () => {
  it('is looked for at most once per second, even if many records name the key', async () => {
    const service = world.process();
    const { key, data } = await service.session('p').encrypt(PAYLOAD);
    const madeUp = { key: { ...key, parent: { ...key.parent, created: key.parent.created - 60 } }, data };
    world.log.take();
    for (let i = 0; i < 5; i += 1) expect(await codeOf(service.session('p').decrypt(madeUp))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual(['Get IK', 'Get IK']);
    world.clock.advance(1000);
    expect(await codeOf(service.session('p').decrypt(madeUp))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual(['Get IK', 'Get IK']);
  });

  it('is looked for again within a second if 10,000 other absent keys have been looked for meanwhile', async () => {
    const service = world.process();
    const { key, data } = await service.session('p').encrypt(PAYLOAD);
    const decrypt = (n: number): Promise<string> => {
      const parent = { id: `_IK_${n}_svc_prod`, created: 60 };
      return codeOf(service.session(String(n)).decrypt({ key: { ...key, parent }, data }));
    };
    for (let n = 0; n < 10_000; n += 1) await decrypt(n);
    world.log.take();
    expect(await decrypt(0)).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual([]);
    await decrypt(10_000);
    world.log.take();
    expect([await decrypt(1), await decrypt(0)]).toEqual(['RecordUnreadable', 'RecordUnreadable']);
    // The second read looks for the tombstone of an erased partition.
    expect(world.log.take()).toEqual(['Get IK', 'Get IK']);
  });

  it('is found within a second after its row appears, even if many records name the key meanwhile', async () => {
    const maker = world.process();
    const record = await maker.session('p').encrypt(PAYLOAD);
    const [row] = world.metastore.ofKind('IK');
    if (row === undefined) throw new Error('no key');
    world.metastore.remove(row);
    const service = world.process();
    expect(await codeOf(service.session('p').decrypt(record))).toBe('RecordUnreadable');
    await world.metastore.store(row, noDeadline());
    world.clock.advance(900);
    expect(await codeOf(service.session('p').decrypt(record))).toBe('RecordUnreadable');
    world.clock.advance(100);
    expect(await service.session('p').decrypt(record)).toEqual(PAYLOAD);
  });

  it('is looked for again by each encrypt if the partition has no key', async () => {
    const service = world.process();
    world.metastore.interfere = (call) => {
      if (call === 'Put IK') throw new KeyfoldError('MetastoreUnavailable', 'down');
    };
    for (let i = 0; i < 2; i += 1) await codeOf(service.session('p').encrypt(PAYLOAD));
    expect(world.log.take().filter((call) => call === 'Query IK')).toHaveLength(2);
  });
});

describe('the deadline of a shared load', () => {
  it('is extended to the deadline of a request that joins later, even during a KMS call', async () => {
    const service = world.process();
    const inner: Deadline[] = [];
    const held = Promise.withResolvers<void>();
    world.kms.interfere = async (_call, deadline) => {
      inner.push(deadline);
      await held.promise;
    };
    const leaving = codeOf(service.session('p').encrypt(PAYLOAD, { deadlineAtMs: world.clock.now() + 20 }));
    await new Promise(setImmediate);
    const staying = service.session('p').encrypt(PAYLOAD, { deadlineAtMs: world.clock.now() + 5000 });
    await new Promise(setImmediate);
    expect((inner[0]?.atMs ?? 0) - world.clock.now()).toBe(5000);
    expect(await leaving).toBe('DeadlineExceeded');
    held.resolve();
    expect((await staying).key.parent.id).toBe('_IK_p_svc_prod');
  });

  it('is at most flightTimeoutMs away for each call to the metastore or the KMS', async () => {
    const calls: string[] = [];
    world.metastore.interfere = (call, { atMs }) => void calls.push(`${call} ${atMs - world.clock.now()}`);
    world.kms.interfere = world.metastore.interfere;
    const policy = { flightTimeoutMs: 10_000 };
    const { key, data } = await world.process({ policy }).session('p').encrypt(PAYLOAD);
    await world.process({ policy }).session('p').decrypt({ key, data });
    const absent = { key: { ...key, parent: { ...key.parent, created: 60 } }, data };
    expect(await codeOf(world.process({ policy }).session('p').decrypt(absent))).toBe('RecordUnreadable');
    await world.process({ policy }).preload();
    const expected = ['Query IK', 'Query SK', 'Wrap', 'Put SK', 'Put IK', 'Get IK', 'Get SK', 'Unwrap'];
    expected.push('Get IK', 'Get IK');
    expect(calls.splice(0, 10)).toEqual(expected.map((call) => `${call} 10000`));
    expect(calls[1]).toBe('Unwrap 10000');
  });

  it('is the latest deadline of its requests, but at most flightTimeoutMs away', async () => {
    const service = world.process({ policy: { flightTimeoutMs: 10_000 } });
    const seen: number[] = [];
    const held = Promise.withResolvers<void>();
    world.metastore.interfere = async (_call, deadline) => {
      await held.promise;
      seen.push(deadline.atMs - world.clock.now());
    };
    const waiters = [500, 3000, 1000].map((ms) =>
      service.session('p').encrypt(PAYLOAD, { deadlineAtMs: world.clock.now() + ms }),
    );
    await new Promise(setImmediate);
    held.resolve();
    await Promise.all(waiters);
    expect(new Set(seen)).toEqual(new Set([3000]));
    await service.session('q').encrypt(PAYLOAD);
    expect(seen.at(-1)).toBe(10_000);
  });
});
