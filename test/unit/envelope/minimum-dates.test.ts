import { beforeEach, describe, expect, it } from 'vitest';
import type { CryptoPolicy, DataRowRecord } from '../../../src/index.ts';
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
  it('replaces the Intermediate Key and the System Key if both are older, and still lets older records open', async () => {
    const record = await session({ minSealingCreated: now }).encrypt(PAYLOAD);
    expect(record.key.parent.created).toBeGreaterThanOrEqual(now);
    expect(world.metastore.ofKind('SK').map(({ created }) => created >= now)).toEqual([false, true]);
    expect(world.metastore.latest(record.key.parent.id)?.parent?.created).toBeGreaterThanOrEqual(now);
    expect(await session({ minSealingCreated: now }).decrypt(leaked)).toEqual(PAYLOAD);
  });

  it('replaces the Intermediate Key if only its System Key is older', async () => {
    const later = await world.process().session('q').encrypt(PAYLOAD);
    expect(later.key.parent.created).toBeGreaterThan(leaked.key.parent.created);
    const minimum = leaked.key.parent.created + 1;
    const process = world.process({ policy: { minSealingCreated: minimum } });
    const record = await process.session('q').encrypt(PAYLOAD);
    expect(record.key.parent.created).toBeGreaterThan(later.key.parent.created);
  });

  it('becomes the date of a new key if it is ahead of the clock', async () => {
    const record = await session({ minSealingCreated: now + 600 }).encrypt(PAYLOAD);
    expect(record.key.parent.created).toBe(now + 600);
    expect(await session({}).decrypt(record)).toEqual(PAYLOAD);
  });

  it('changes nothing if no key is older', async () => {
    const record = await session({ minSealingCreated: leaked.key.parent.created }).encrypt(PAYLOAD);
    expect(record.key.parent).toEqual(leaked.key.parent);
  });
});

describe('minOpeningCreated', () => {
  it('makes records under older keys unreadable, without a KMS call', async () => {
    const reader = session({ minOpeningCreated: now });
    world.log.take();
    expect(await codeOf(reader.decrypt(leaked))).toBe('RecordUnreadable');
    expect(await codeOf(reader.rewrap(leaked))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual([]);
  });

  it('makes records under a newer key unreadable if its System Key is older', async () => {
    const later = await world.process().session('q').encrypt(PAYLOAD);
    const minimum = leaked.key.parent.created + 1;
    const reader = world.process({ policy: { minOpeningCreated: minimum } }).session('q');
    world.log.take();
    expect(await codeOf(reader.decrypt(later))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual(['Get IK']);
  });

  it('also prevents older keys from sealing, so that every new record can be opened', async () => {
    const writer = session({ minOpeningCreated: now });
    expect(await writer.decrypt(await writer.encrypt(PAYLOAD))).toEqual(PAYLOAD);
  });

  it('still lets records open if their key was created at exactly the minimum date', async () => {
    expect(await session({ minOpeningCreated: leaked.key.parent.created }).decrypt(leaked)).toEqual(PAYLOAD);
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
