import { beforeEach, describe, expect, it } from 'vitest';
import { KeyfoldError } from '../../src/index.ts';
import { codeOf, errorOf, FakeWorld, MINUTE_MS } from '../support/fakes.ts';

const PAYLOAD = Buffer.from('payload');
const partitions = (count: number): string[] => Array.from({ length: count }, (_, i) => `p${i}`);
let world: FakeWorld;

beforeEach(() => {
  world = new FakeWorld();
});

/** How often each call was made. */
function counts(): Record<string, number> {
  return Object.fromEntries(
    Object.entries(Object.groupBy(world.log.take(), (call) => call)).map(([k, v = []]) => [k, v.length]),
  );
}

/** Holds a call back until it is let go. */
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

describe('one flight', () => {
  it('serves 100 encrypts at once for a partition that is new', async () => {
    const session = world.process().session('p');
    const records = await Promise.all(Array.from({ length: 100 }, () => session.encrypt(PAYLOAD)));
    expect(counts()).toEqual({ 'Query IK': 1, 'Query SK': 1, Wrap: 1, 'Put SK': 1, 'Put IK': 1 });
    for (const record of records) expect(await session.decrypt(record)).toEqual(PAYLOAD);
  });

  it('of KMS serves 100 encrypts at once for 100 partitions', async () => {
    await Promise.all(partitions(100).map((p) => world.process().session(p).encrypt(PAYLOAD)));
    const service = world.process();
    world.log.take();
    await Promise.all(partitions(100).map((p) => service.session(p).encrypt(PAYLOAD)));
    expect(counts()).toEqual({ 'Query IK': 100, 'Get SK': 1, Unwrap: 1 });
  });

  it('of KMS serves 100 decrypts at once for 100 partitions', async () => {
    const maker = world.process();
    const records = await Promise.all(partitions(100).map((p) => maker.session(p).encrypt(PAYLOAD)));
    const service = world.process();
    world.log.take();
    await Promise.all(records.flatMap((r, i) => [r, r].map((record) => service.session(`p${i}`).decrypt(record))));
    expect(counts()).toEqual({ 'Get IK': 100, 'Get SK': 1, Unwrap: 1 });
  });

  it('of KMS serves decrypts, encrypts and new partitions at once', async () => {
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

  it('of KMS serves 10,000 partitions in one process', async () => {
    const service = world.process();
    await Promise.all(partitions(10_000).map((p) => service.session(p).encrypt(PAYLOAD)));
    expect(counts()).toEqual({ 'Query IK': 10_000, 'Query SK': 1, Wrap: 1, 'Put SK': 1, 'Put IK': 10_000 });
  });

  it('that fails fails all that wait for it, is not cached, and leaves other keys alone', async () => {
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

describe('a hot key', () => {
  it('asks nobody', async () => {
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

  it('serves even a caller whose time is up', async () => {
    const session = world.process().session('p');
    await session.encrypt(PAYLOAD);
    expect((await session.encrypt(PAYLOAD, { deadlineAtMs: 0 })).key.created).toBeGreaterThan(0);
  });
});

describe('a waiter', () => {
  it('leaves at its own deadline, while the flight goes on for the others', async () => {
    const session = world.process().session('p');
    const { release } = hold('Query IK');
    const patient = session.encrypt(PAYLOAD);
    const hasty = session.encrypt(PAYLOAD, { deadlineAtMs: world.clock.nowMs + 20 });
    expect(await codeOf(hasty)).toBe('DeadlineExceeded');
    release();
    expect((await patient).data).toHaveLength(PAYLOAD.length + 28);
    expect(counts()['Query IK']).toBe(1);
  });

  it("leaves at its signal, with the signal's own reason", async () => {
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

  it('that is the last to leave ends the flight, and the next one starts anew', async () => {
    const session = world.process().session('p');
    const { release, signals } = hold('Query IK');
    const hasty = [20, 30].map((ms) => session.encrypt(PAYLOAD, { deadlineAtMs: world.clock.nowMs + ms }));
    for (const work of hasty) expect(await codeOf(work)).toBe('DeadlineExceeded');
    expect(signals.map((signal) => signal.aborted)).toEqual([true]);
    release();
    expect((await session.encrypt(PAYLOAD)).data).toHaveLength(PAYLOAD.length + 28);
    expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
  });

  it('that is the last to leave ends the flights under it, too', async () => {
    await world.process().session('p').encrypt(PAYLOAD);
    const session = world.process().session('p');
    const { release, signals } = hold('Get SK');
    expect(await codeOf(session.encrypt(PAYLOAD, { deadlineAtMs: world.clock.nowMs + 20 }))).toBe('DeadlineExceeded');
    expect(signals.map((signal) => signal.aborted)).toEqual([true]);
    release();
  });

  it('does not wait beyond the deadline of the flight itself', async () => {
    const session = world.process({ policy: { flightTimeoutMs: 20 } }).session('p');
    const { release, signals } = hold('Query IK');
    expect(await codeOf(session.encrypt(PAYLOAD))).toBe('DeadlineExceeded');
    expect(signals[0]?.aborted).toBe(true);
    release();
  });
});

describe('the cache', () => {
  it('drops the plaintext of keys at their maximum age, decrypts included', async () => {
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

  it('does not keep a key longer because it is in use', async () => {
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

  it('holds so many keys, the least recently used going first', async () => {
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

  it('does not take a key for the latest because an old record was decrypted with it', async () => {
    const maker = world.process();
    const old = await maker.session('p').encrypt(PAYLOAD);
    // Another process has rotated without a revocation: the old key would do, but it is not the latest.
    world.clock.advance(2 * MINUTE_MS);
    const [row] = world.metastore.ofKind('IK');
    const newer = { ...row, created: (row?.created ?? 0) + 60 };
    world.metastore.rows.set(`${row?.id} ${newer.created}`, newer as never);
    const service = world.process();
    await service.session('p').decrypt(old);
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent.created).toBe(newer.created);
    await service.session('p').decrypt(old);
    expect((await service.session('p').encrypt(PAYLOAD)).key.parent.created).toBe(newer.created);
  });
});
