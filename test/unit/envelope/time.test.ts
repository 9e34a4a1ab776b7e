/** Tests keys that are dated in the future, and clocks that step back. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { agingClock } from '../../../src/async/clock.ts';
import { createdNow, cryptoPolicy, type CryptoPolicy } from '../../../src/envelope/crypto-policy.ts';
import { findKey } from '../../../src/envelope/find-key.ts';
import { retirementOf, standingOf } from '../../../src/envelope/key-standing.ts';
import type { EpochSeconds, KeyId } from '../../../src/records/ids.ts';
import { KeyfoldError, type DataRowRecord, type EnvelopeKeyRecord, type SessionFactory } from '../../../src/index.ts';
import { SystemKeyMaintenance } from '../../../src/maintenance/system-key-maintenance.ts';
import { codeOf, DAY_MS, FakeDependencies, HandClock, MINUTE_MS, noDeadline } from '../../support/fakes.ts';

const PAYLOAD = Buffer.from('payload');
const HOUR_MS = 60 * MINUTE_MS;
let world: FakeDependencies;

beforeEach(() => {
  world = new FakeDependencies();
});

const nowSeconds = (): number => world.clock.nowMs / 1000;

async function createdBy(service: SessionFactory, partition = 'p'): Promise<number> {
  return (await service.session(partition).encrypt(PAYLOAD)).key.parent.created;
}

/** Copies the latest row of a kind to another date, as if a process with a wrong clock had stored it. */
function copyTo(kind: 'SK' | 'IK', created: number, changes: Partial<EnvelopeKeyRecord> = {}): EnvelopeKeyRecord {
  const row = world.metastore.ofKind(kind).at(-1);
  if (row === undefined) throw new Error('no row');
  const copy = { ...row, proof: undefined, ...changes, created: created as EpochSeconds };
  world.metastore.change(copy, {});
  return copy;
}

/** Encrypts in another process whose clock is `ms` ahead, and returns the record. */
async function madeAhead(ms: number): Promise<DataRowRecord> {
  world.clock.advance(ms);
  const record = await world.process().session('p').encrypt(PAYLOAD);
  world.clock.advance(-ms);
  world.log.take();
  return record;
}

describe('a key dated in the future', () => {
  it.for([5, 9])('still seals if it is %i minutes ahead, and is found with one query', async (minutes) => {
    const ahead = await madeAhead(minutes * MINUTE_MS);
    expect(await createdBy(world.process())).toBe(ahead.key.parent.created);
    expect(world.log.take()).toEqual(['Query IK', 'Get SK', 'Unwrap']);
  });

  it.for([
    ['12 minutes', 12 * MINUTE_MS],
    ['400 days', 400 * DAY_MS],
  ] as const)('is replaced by a key with the current date if it is %s ahead', async ([, ms]) => {
    const ahead = await madeAhead(ms);
    const service = world.process();
    expect(await createdBy(service)).toBe(nowSeconds() - (nowSeconds() % 60));
    expect(world.log.take()).toEqual(['Query IK', 'Recent IK', 'Query SK', 'Recent SK', 'Wrap', 'Put SK', 'Put IK']);
    expect(await service.session('p').decrypt(ahead)).toEqual(PAYLOAD);
    world.log.take();
    await createdBy(service);
    expect(world.log.take()).toEqual([]);
  });

  it.for([
    ['does not open', { encryptedKey: Buffer.from('CANARY') }],
    ['does not parse', { encryptedKey: 'CANARY' as never }],
  ] as const)(
    'that %s is ignored by the check of the System Key, which fails only if the current System Key is damaged',
    async ([, damage]) => {
      await createdBy(world.process());
      copyTo('SK', nowSeconds() + 3600, damage);
      expect(await createdBy(world.process())).toBeLessThanOrEqual(nowSeconds());
      await world.process().checkSystemKey();
      world.metastore.change(world.metastore.ofKind('SK')[0] as EnvelopeKeyRecord, damage);
      expect(await codeOf(world.process().checkSystemKey())).toBe('KeyRowUnreadable');
    },
  );

  it('passes the check of the System Key if it opens and is the only System Key', async () => {
    await createdBy(world.process());
    world.clock.advance(-3600_000);
    world.log.take();
    await world.process().checkSystemKey();
    expect(world.log.take()).toEqual(['Query SK', 'Recent SK', 'Unwrap']);
  });

  it('seals if it is ten minutes ahead, but not if it is ten minutes and one second ahead', async () => {
    const own = await createdBy(world.process());
    const seconds = Math.floor(nowSeconds());
    copyTo('IK', seconds + 601);
    expect(await createdBy(world.process())).toBe(own);
    copyTo('IK', seconds + 600);
    expect(await createdBy(world.process())).toBe(seconds + 600);
  });

  it.for([2 ** 53 - 1, 2 ** 53, 1e300, Infinity, NaN, 1.5e12])(
    'does not hide an older usable key if its date is %d',
    async (created) => {
      const service = world.process();
      const own = await createdBy(service);
      for (const kind of ['IK', 'SK'] as const) copyTo(kind, created);
      const cold = world.process();
      const record = await cold.session('p').encrypt(PAYLOAD);
      expect(record.key.parent.created).toBe(own);
      expect(await service.session('p').decrypt(record)).toEqual(PAYLOAD);
      expect(world.metastore.ofKind('SK')).toHaveLength(2);
    },
  );

  it('is replaced by a key with a valid date once the older usable key has expired', async () => {
    await createdBy(world.process());
    copyTo('IK', 2 ** 53 - 1);
    copyTo('SK', 2 ** 53 - 1);
    world.clock.advance(91 * DAY_MS);
    const service = world.process();
    const record = await service.session('p').encrypt(PAYLOAD);
    expect(record.key.parent.created).toBeLessThanOrEqual(nowSeconds());
    expect(await service.session('p').decrypt(record)).toEqual(PAYLOAD);
  });

  it('does not hide an older usable key if the row of the key dated in the future cannot be read', async () => {
    const own = await createdBy(world.process());
    world.metastore.interfere = (call) => {
      if (call === 'Query IK') throw new KeyfoldError('KeyRowUnreadable', 'made up');
    };
    expect(await createdBy(world.process())).toBe(own);
  });

  it('is replaced by a new key if there is no older row', async () => {
    const created = await createdBy(world.process());
    for (const kind of ['IK', 'SK'] as const) copyTo(kind, 2 ** 53);
    for (const row of world.metastore.rows.values()) if (row.created === created) world.metastore.remove(row);
    const record = await world.process().session('p').encrypt(PAYLOAD);
    expect(await world.process().session('p').decrypt(record)).toEqual(PAYLOAD);
  });

  it.for(['IK', 'SK'] as const)(
    'makes encrypt fail if its row cannot be read and the metastore has no loadRecent (%s)',
    async (kind) => {
      await createdBy(world.process());
      world.metastore.interfere = (call) => {
        if (call === `Query ${kind}`) throw new KeyfoldError('KeyRowUnreadable', 'made up');
      };
      Object.assign(world.metastore, { loadRecent: undefined });
      expect(
        await codeOf(
          world
            .process()
            .session(kind === 'SK' ? 'q' : 'p')
            .encrypt(PAYLOAD),
        ),
      ).toBe('KeyRowUnreadable');
    },
  );

  it.for([
    ['NaN', NaN],
    ['a number with a fraction', -0.5],
    ['an unsafe integer', 2 ** 53],
  ] as const)('makes encrypt fail with KeyRowUnreadable if its date is %s', async ([, seconds]) => {
    await createdBy(world.process());
    const row = { ...world.metastore.ofKind('IK')[0], proof: undefined, created: nowSeconds() + seconds };
    const loadLatest = world.metastore.loadLatest.bind(world.metastore);
    Object.assign(world.metastore, {
      loadRecent: undefined,
      loadLatest: async (...given: Parameters<typeof loadLatest>) => (given[0] === row.id ? row : loadLatest(...given)),
    });
    expect(await codeOf(world.process().session('p').encrypt(PAYLOAD))).toBe('KeyRowUnreadable');
  });

  it('is replaced by a new key if its row can be read and the metastore has no loadRecent', async () => {
    await createdBy(world.process());
    const ahead = copyTo('IK', nowSeconds() + 3600);
    Object.assign(world.metastore, { loadRecent: undefined });
    expect(await createdBy(world.process())).toBeLessThan(ahead.created);
  });

  it('does not hide an older usable key if it is revoked and five minutes ahead', async () => {
    const own = await createdBy(world.process());
    copyTo('IK', nowSeconds() + 300, { revoked: true });
    world.log.take();
    expect(await createdBy(world.process())).toBe(own);
    expect(world.log.take()).toEqual(['Query IK', 'Recent IK', 'Get SK', 'Unwrap']);
  });

  it('is made if the latest key is revoked and has the date of the current second', async () => {
    const own = await createdBy(world.process());
    copyTo('IK', nowSeconds(), { revoked: true });
    expect(await createdBy(world.process())).toBeGreaterThan(nowSeconds());
    expect(own).toBeLessThan(nowSeconds());
    expect(world.log.take()).not.toContain('Recent IK');
  });

  it('is replaced by a key with the current date when it is revoked', async () => {
    const ahead = await madeAhead(9 * MINUTE_MS);
    for (const row of world.metastore.ofKind('IK')) world.metastore.change(row, { revoked: true });
    const made = await createdBy(world.process());
    expect(made).toBe(nowSeconds());
    expect(made).toBeLessThan(ahead.key.parent.created);
    // Another process must find the new key, although the revoked key has a later date.
    expect(await createdBy(world.process())).toBe(made);
  });

  it('that is a System Key prevents its Intermediate Keys from sealing', async () => {
    const own = await createdBy(world.process());
    const system = copyTo('SK', nowSeconds() + 3600);
    copyTo('IK', nowSeconds() + 10, { parent: { id: system.id, created: system.created } });
    expect(await createdBy(world.process())).toBe(own);
  });

  it('is tried only once if it is five minutes ahead and its System Key is absent', async () => {
    const own = await createdBy(world.process());
    const absent = { id: '_SK_svc_prod' as KeyId, created: (own + 60) as EpochSeconds };
    copyTo('IK', nowSeconds() + 300, { parent: absent });
    world.log.take();
    expect(await createdBy(world.process())).toBe(own);
    expect(world.log.take()).toEqual(['Query IK', 'Get SK', 'Recent IK', 'Get SK', 'Unwrap']);
  });

  it('is replaced by an older key from the cache when its System Key is revoked', async () => {
    const own = await createdBy(world.process());
    const system = copyTo('SK', nowSeconds() + 200);
    const ahead = copyTo('IK', nowSeconds() + 300, { parent: { id: system.id, created: system.created } });
    const service = world.process({ policy: { revokeCheckIntervalMs: MINUTE_MS } });
    expect(await createdBy(service)).toBe(ahead.created);
    world.metastore.change(system, { revoked: true });
    world.clock.advance(MINUTE_MS);
    expect(await createdBy(service)).toBe(own);
    world.log.take();
    expect(await createdBy(service)).toBe(own);
    expect(world.log.take()).toEqual([]);
  });

  it('is reported by maintenance, which still creates the next System Key in time', async () => {
    await createdBy(world.process());
    copyTo('SK', nowSeconds() + 3600 * 24 * 365);
    world.clock.advance(85 * DAY_MS);
    const { metastore, kms } = world;
    const maintenance = new SystemKeyMaintenance({
      service: 'svc',
      product: 'prod',
      now: world.clock.now,
      metastore: {
        load: (...given) => metastore.load(...given),
        loadLatest: (...given) => metastore.loadLatest(...given),
        loadRecent: (...given) => metastore.loadRecent(...given),
        store: (...given) => metastore.store(...given),
        rows: async () => metastore.ofKind('SK').toReversed(),
        replaceKey: async () => 'replaced',
      },
      kms: {
        wrap: (...given) => kms.wrap(...given),
        unwrap: (...given) => kms.unwrap(...given),
        renew: async () => ({ regions: [], renewed: undefined }),
      },
    });
    const report = await maintenance.run();
    expect(report.systemKeys.map(({ state }) => state)).toEqual(['dated-ahead', 'valid']);
    expect(report.created?.created).toBe(nowSeconds() - (nowSeconds() % 60));
  });
});

it('if a key must not seal for several reasons, the most serious reason is reported', () => {
  const created = (nowSeconds() - 2 * 86_400) as EpochSeconds;
  const standing = standingOf({ id: 'x' as KeyId, created, encryptedKey: Buffer.alloc(0), revoked: false }, 0);
  const why = (changes: Partial<CryptoPolicy>): string | undefined =>
    retirementOf(cryptoPolicy(changes), standing, world.clock.nowMs);
  expect(why({})).toBeUndefined();
  expect(why({ expireAfterMs: DAY_MS })).toBe('expired');
  for (const minimum of ['minSealingCreated', 'minOpeningCreated']) {
    expect(why({ expireAfterMs: DAY_MS, [minimum]: created + 1 })).toBe('before-minimum');
  }
  standing.exhausted = true;
  expect(why({ expireAfterMs: DAY_MS, minSealingCreated: created + 1 })).toBe('worn');
  standing.revoked = true;
  expect(why({})).toBe('revoked');
});

it('findKey looks for rows that are dated at most ten minutes ahead, to the second', async () => {
  const asked: number[] = [];
  for (const nowMs of [1_000_000_000_000, 1_000_000_000_999]) {
    const row = { id: 'id' as KeyId, created: 1_000_086_400 as EpochSeconds, encryptedKey: PAYLOAD, revoked: false };
    const recent = async (notAfter: number): Promise<[]> => (asked.push(notAfter), []);
    await findKey({ now: () => nowMs, latest: async () => row, recent, use: async () => undefined });
  }
  expect(asked).toEqual([1_000_000_600, 1_000_000_600]);
});

describe('createdNow', () => {
  const policy = cryptoPolicy();
  const nowMs = Date.UTC(2026, 10, 27, 12, 0, 30);
  const now = nowMs / 1000;
  const dated = (taken: readonly number[], exhausted?: number): number | undefined =>
    createdNow(policy, nowMs, taken as EpochSeconds[], exhausted as EpochSeconds | undefined);

  it.for([
    ['no key', [], now - 30],
    ['an old key', [now - 86_400], now - 30],
    ['a key from this minute', [now - 30], now],
    ['a key from this second', [now, now - 30], now + 1],
    ['a key in the current second and in each of the next two seconds', [now + 2, now + 1, now], now + 3],
    ['a key dated almost ten minutes ahead', [now + 590], now],
    ['a free second between the dates of two keys', [now + 2, now], now + 1],
  ] as const)('returns the first free date if there is %s', ([, taken, created]) => {
    expect(dated(taken)).toBe(created);
  });

  it('returns undefined if a key has the date of the current second and of each of the next 60 seconds', () => {
    const taken = Array.from({ length: 61 }, (_, i) => now + i);
    expect(dated(taken.slice(0, 60))).toBe(now + 60);
    expect(dated(taken)).toBeUndefined();
  });

  it('returns a later date than the date of an exhausted key if that key is dated less than a minute ahead', () => {
    expect(dated([now + 20], now + 20)).toBe(now + 21);
    expect(dated([now + 300], now + 300)).toBe(now);
    expect(dated([now + 60], now + 60)).toBe(now);
    expect(dated([now - 30], now - 30)).toBe(now);
  });

  it('returns the truncated date only if it is not before a minimum date', () => {
    for (const minimum of ['minSealingCreated', 'minOpeningCreated'] as const) {
      const datedWith = (seconds: number, taken: readonly number[], exhausted?: number): number | undefined =>
        createdNow(cryptoPolicy({ [minimum]: seconds }), nowMs, taken as EpochSeconds[], exhausted as EpochSeconds);
      expect(datedWith(now - 30, [])).toBe(now - 30);
      expect(datedWith(now - 29, [])).toBe(now);
      expect(datedWith(now + 40, [])).toBe(now + 40);
      expect(datedWith(now - 29, [now + 20], now + 20)).toBe(now + 21);
    }
  });

  it.for([NaN, Infinity, 2 ** 63])('throws a TypeError if the time is %d', (time) => {
    expect(() => createdNow(policy, time, [])).toThrow(TypeError);
  });
});

describe('encrypt', () => {
  it.for(['IK', 'SK'] as const)(
    'makes one new key, with the first free date, if there is a revoked %s for the current second and each of the next two',
    async (kind) => {
      await createdBy(world.process());
      const seconds = Math.floor(nowSeconds());
      for (let i = -40; i <= 2; i += 1) copyTo(kind, seconds + i, { revoked: true });
      world.log.take();
      await createdBy(world.process());
      expect(world.log.take().filter((call) => call === `Put ${kind}`)).toHaveLength(1);
      expect(Math.max(...world.metastore.ofKind(kind).map(({ created }) => created))).toBe(seconds + 3);
    },
  );

  it.for(['IK', 'SK'] as const)(
    'fails with MetastoreUnavailable if there is a revoked %s for each second of the next minute',
    async (kind) => {
      await createdBy(world.process());
      const seconds = Math.floor(nowSeconds());
      for (let i = -40; i <= 60; i += 1) copyTo(kind, seconds + i, { revoked: true });
      expect(await codeOf(world.process().session('p').encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
      // A metastore that returns all rows shows in advance that no date is free.
      Object.assign(world.metastore, { loadRecent: async () => world.metastore.ofKind(kind).toReversed() });
      world.log.take();
      await expect(world.process().session('p').encrypt(PAYLOAD)).rejects.toThrow(/^No usable key of _[IS]K_/);
      expect(world.log.take().filter((call) => call === `Put ${kind}`)).toEqual([]);
    },
  );
});

describe('a session whose clock has stepped back', () => {
  it.for([
    ['2 minutes', 2 * MINUTE_MS],
    ['40 minutes', 40 * MINUTE_MS],
    ['2 hours', 2 * HOUR_MS],
    ['30 days', 30 * DAY_MS],
  ] as const)('by %s does not encrypt under a revoked Intermediate Key', async ([, ms]) => {
    const service = world.process();
    await createdBy(service);
    world.clock.advance(30 * MINUTE_MS);
    const old = await createdBy(service);
    for (const row of world.metastore.ofKind('IK')) world.metastore.change(row, { revoked: true });
    world.clock.advance(-ms);
    expect(await createdBy(service)).not.toBe(old);
  });

  it('does not encrypt under an Intermediate Key whose System Key is revoked', async () => {
    const service = world.process();
    await createdBy(service);
    world.clock.advance(50 * MINUTE_MS);
    await createdBy(service);
    for (const row of world.metastore.ofKind('SK')) world.metastore.change(row, { revoked: true });
    world.clock.advance(-5 * MINUTE_MS);
    const made = await createdBy(service);
    const row = world.metastore.ofKind('IK').find(({ created }) => created === made);
    expect(world.metastore.ofKind('SK').find(({ created }) => created === row?.parent?.created)?.revoked).toBe(false);
  });

  it('reads its key rows again, and does not call KMS', async () => {
    const service = world.process();
    const own = await createdBy(service);
    world.clock.advance(-5 * MINUTE_MS);
    world.log.take();
    expect(await createdBy(service)).toBe(own);
    expect(world.log.take()).toEqual(['Query IK', 'Get SK']);
  });

  it('in small steps does not encrypt under a key that was revoked meanwhile', async () => {
    const service = world.process();
    const first = await createdBy(service);
    for (const row of world.metastore.ofKind('IK')) world.metastore.change(row, { revoked: true });
    for (let i = 0; i < 4; i += 1) {
      world.clock.advance(-900);
      await createdBy(service);
    }
    expect(await createdBy(service)).not.toBe(first);
  });

  it('by less than a second does not read key rows again', async () => {
    const service = world.process();
    await createdBy(service);
    world.log.take();
    world.clock.advance(-900);
    await createdBy(service);
    expect(world.log.take()).toEqual([]);
  });

  it('replaces a key that is now dated too far ahead, and caches the new key', async () => {
    const service = world.process();
    const ahead = await createdBy(service);
    world.clock.advance(-HOUR_MS);
    const made = await createdBy(service);
    expect(made).toBeLessThan(ahead);
    world.log.take();
    expect(await createdBy(service)).toBe(made);
    expect(world.log.take()).toEqual([]);
    await createdBy(service, 'new');
    expect(world.log.take()).toEqual(['Query IK', 'Put IK']);
  });

  it('does not keep plaintext keys beyond their maximum age', async () => {
    const service = world.process();
    const record = await service.session('p').encrypt(PAYLOAD);
    world.clock.advance(40 * MINUTE_MS);
    await service.session('p').decrypt(record);
    world.clock.advance(-30 * MINUTE_MS);
    await service.session('p').decrypt(record);
    world.clock.advance(20 * MINUTE_MS);
    world.log.take();
    await service.session('p').decrypt(record);
    expect(world.log.take()).toEqual(['Get IK', 'Get SK', 'Unwrap']);
  });

  it('drops a plaintext key at its maximum age, even if the session made or loaded the key after the clock stepped back', async () => {
    const service = world.process();
    await createdBy(service);
    world.clock.advance(-5 * MINUTE_MS);
    const record = await service.session('q').encrypt(PAYLOAD);
    world.clock.advance(HOUR_MS - 1);
    world.log.take();
    await service.session('q').decrypt(record);
    expect(world.log.take()).toEqual([]);
    for (const ms of [1, HOUR_MS]) {
      world.clock.advance(ms);
      await service.session('q').decrypt(record);
      expect(world.log.take()).toEqual(['Get IK', 'Get SK', 'Unwrap']);
    }
  });

  it('looks again for a key that was absent before the clock stepped back', async () => {
    const record = await world.process().session('p').encrypt(PAYLOAD);
    const [row] = world.metastore.ofKind('IK');
    if (row === undefined) throw new Error('no key');
    world.metastore.remove(row);
    const service = world.process();
    expect(await codeOf(service.session('p').decrypt(record))).toBe('RecordUnreadable');
    await world.metastore.store(row, noDeadline());
    world.clock.advance(-HOUR_MS);
    world.clock.advance(1000);
    expect(await service.session('p').decrypt(record)).toEqual(PAYLOAD);
  });

  it('does not extend the grace period of its keys during a metastore outage', async () => {
    const service = world.process();
    await createdBy(service);
    world.clock.advance(70 * MINUTE_MS);
    world.metastore.interfere = () => {
      throw new KeyfoldError('MetastoreUnavailable', 'down');
    };
    await createdBy(service);
    world.clock.advance(-HOUR_MS);
    expect(await codeOf(service.session('p').encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
  });

  it('still drops a shared Data Row Key at its maximum age', async () => {
    const service = world.process({ policy: { dataRowKeyMaxMessages: 1000, dataRowKeyMaxAgeMs: 10 * MINUTE_MS } });
    const keyOf = async (): Promise<string> =>
      Buffer.from((await service.session('p').encrypt(PAYLOAD)).key.encryptedKey).toString('hex');
    const first = await keyOf();
    world.clock.advance(5 * MINUTE_MS);
    expect(await keyOf()).toBe(first);
    world.clock.advance(-MINUTE_MS);
    expect(await keyOf()).toBe(first);
    world.clock.advance(5 * MINUTE_MS);
    expect(await keyOf()).not.toBe(first);
  });
});

/** Advances the monotonic clock by 75 minutes, but the wall clock by only ten seconds. */
function pass(): void {
  const shownMs = Date.now() + 10_000;
  vi.advanceTimersByTime(75 * MINUTE_MS);
  vi.setSystemTime(shownMs);
}

describe('a session on a machine whose clock stepped back between two requests', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'], now: world.clock.nowMs });
  });
  afterEach(() => vi.useRealTimers());

  it('drops a plaintext key at its maximum age', async () => {
    const service = world.process({ now: Date.now });
    const record = await service.session('p').encrypt(PAYLOAD);
    pass();
    world.log.take();
    await service.session('p').decrypt(record);
    expect(world.log.take()).toEqual(['Get IK', 'Get SK', 'Unwrap']);
  });

  it('does not encrypt under a revoked key', async () => {
    const policy = { intermediateKeyMaxAgeMs: DAY_MS, systemKeyMaxAgeMs: DAY_MS };
    const service = world.process({ now: Date.now, policy });
    const before = await createdBy(service);
    for (const row of world.metastore.ofKind('IK')) world.metastore.change(row, { revoked: true });
    pass();
    expect(await createdBy(service)).not.toBe(before);
  });
});

describe('agingClock', () => {
  it('advances with the underlying clock and never goes back', () => {
    const clock = new HandClock();
    const ages = agingClock(clock.now, 0);
    clock.advance(500);
    expect(ages()).toBe(500);
    clock.advance(-HOUR_MS);
    expect(ages()).toBe(500);
    clock.advance(1);
    expect(ages()).toBe(501);
  });

  it('jumps ahead once if the underlying clock steps back', () => {
    const clock = new HandClock();
    const ages = agingClock(clock.now, HOUR_MS);
    clock.advance(-1001);
    expect(ages()).toBe(HOUR_MS);
    expect(ages()).toBe(HOUR_MS);
    clock.advance(-1000);
    expect(ages()).toBe(HOUR_MS);
  });

  it('notices a step back between two readings, because it also reads the monotonic clock', () => {
    const [clock, monotonic] = [new HandClock(), new HandClock(0)];
    const ages = agingClock(clock.now, HOUR_MS, monotonic.now);
    monotonic.advance(40 * MINUTE_MS);
    clock.advance(10 * MINUTE_MS);
    expect(ages()).toBe(HOUR_MS + 40 * MINUTE_MS);
  });

  it('jumps ahead by an hour if the underlying clock goes back in small steps, together by more than a second', () => {
    const clock = new HandClock();
    const ages = agingClock(clock.now, HOUR_MS);
    clock.advance(-600);
    expect(ages()).toBe(0);
    clock.advance(-600);
    expect(ages()).toBe(HOUR_MS);
    clock.advance(-600);
    expect(ages()).toBe(HOUR_MS);
  });

  it('follows the monotonic clock if the underlying clock steps back a little before every reading', () => {
    const [clock, monotonic] = [new HandClock(), new HandClock(0)];
    const ages = agingClock(clock.now, HOUR_MS, monotonic.now);
    for (let i = 0; i < 600; i += 1) {
      monotonic.advance(1000);
      clock.advance(100);
      ages();
    }
    expect(ages()).toBeGreaterThanOrEqual(10 * MINUTE_MS - 1000);
    expect(ages()).toBeLessThanOrEqual(10 * MINUTE_MS);
  });

  it('lags behind the monotonic clock by a second at most', () => {
    const [clock, monotonic] = [new HandClock(), new HandClock(0)];
    const ages = agingClock(clock.now, HOUR_MS, monotonic.now);
    monotonic.advance(1001);
    clock.advance(1);
    expect(ages()).toBe(1);
    monotonic.advance(2);
    clock.advance(1);
    expect(ages()).toBe(1003);
  });

  it('jumps ahead only if the underlying clock loses more than a minute between two readings', () => {
    const [clock, monotonic] = [new HandClock(), new HandClock(0)];
    const ages = agingClock(clock.now, HOUR_MS, monotonic.now);
    for (let i = 1; i <= 3; i += 1) {
      monotonic.advance(MINUTE_MS + 1);
      clock.advance(1);
      expect(ages()).toBe(i * (MINUTE_MS + 1));
    }
    monotonic.advance(MINUTE_MS + 2);
    clock.advance(1);
    expect(ages()).toBe(HOUR_MS + 4 * MINUTE_MS + 5);
    monotonic.advance(10);
    clock.advance(10);
    expect(ages()).toBe(HOUR_MS + 4 * MINUTE_MS + 15);
  });

  it('counts the time for which the process was frozen', () => {
    const [clock, monotonic] = [new HandClock(), new HandClock(0)];
    const ages = agingClock(clock.now, HOUR_MS, monotonic.now);
    monotonic.advance(10);
    clock.advance(8 * HOUR_MS);
    expect(ages()).toBe(8 * HOUR_MS);
    // The monotonic clock stood still during the freeze, so it lags far behind. Now the wall clock steps back: it
    // advances by only ten minutes while the monotonic clock advances by forty. agingClock must still notice this.
    monotonic.advance(40 * MINUTE_MS);
    clock.advance(10 * MINUTE_MS);
    expect(ages()).toBe(9 * HOUR_MS + 40 * MINUTE_MS);
  });
});

it('during a metastore outage, a session encrypts for revokeCheckIntervalMs plus staleGraceMs after it last read the keys', async () => {
  const policy = { revokeCheckIntervalMs: 5 * MINUTE_MS, staleGraceMs: MINUTE_MS, intermediateKeyMaxAgeMs: HOUR_MS };
  const service = world.process({ policy });
  await createdBy(service);
  world.metastore.interfere = () => {
    throw new KeyfoldError('MetastoreUnavailable', 'down');
  };
  world.clock.advance(6 * MINUTE_MS - 1000);
  await createdBy(service);
  world.clock.advance(999);
  await createdBy(service);
  world.clock.advance(1);
  expect(await codeOf(service.session('p').encrypt(PAYLOAD))).toBe('MetastoreUnavailable');
});
