import { beforeEach, describe, expect, it } from 'vitest';
import { KeyfoldError, type DataRowRecord, type EnvelopeKeyRecord, type SessionFactory } from '../../../src/index.ts';
import { ShortMemory } from '../../../src/async/short-memory.ts';
import { UnreadableRows } from '../../../src/envelope/unreadable-rows.ts';
import { codeOf, errorOf, FakeWorld, HandClock } from '../../support/fakes.ts';

let world: FakeWorld;
let service: SessionFactory;
let record: DataRowRecord;

beforeEach(async () => {
  world = new FakeWorld();
  record = await world.process().session('p').encrypt(Buffer.from('x'));
  service = world.process();
  world.log.take();
});

function row(kind: 'SK' | 'IK'): EnvelopeKeyRecord {
  return world.metastore.ofKind(kind)[0] as EnvelopeKeyRecord;
}

/** Puts bytes that open nowhere into a row, and gives back how to repair it. */
function spoil(kind: 'SK' | 'IK'): () => void {
  const sound = row(kind);
  world.metastore.change(sound, { encryptedKey: Buffer.alloc(60) });
  return () => world.metastore.change(sound, {});
}

/** What a decryption comes to, and the calls that it makes. */
async function decrypt(): Promise<string> {
  const outcome = await service
    .session('p')
    .decrypt(record)
    .then(
      () => 'opens',
      (error: unknown) => (error as KeyfoldError).code,
    );
  return [outcome, ...world.log.take()].join(', ');
}

describe('a key row that cannot be read', () => {
  it('of a System Key is not asked of KMS again for five seconds, and then is', async () => {
    const repair = spoil('SK');
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK, Get SK, Unwrap');
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK');
    repair();
    world.clock.advance(4999);
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK');
    world.clock.advance(1);
    expect(await decrypt()).toBe('opens, Get IK, Get SK, Unwrap');
  });

  it('of an Intermediate Key is not read again for five seconds, and then is', async () => {
    const repair = spoil('IK');
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK, Get SK, Unwrap');
    repair();
    expect(await decrypt()).toBe('KeyRowUnreadable');
    world.clock.advance(5000);
    expect(await decrypt()).toBe('opens, Get IK');
  });

  it('is not remembered if it could not be read for another reason', async () => {
    world.kms.interfere = () => {
      throw new KeyfoldError('KmsUnavailable', 'out');
    };
    expect(await decrypt()).toBe('KmsUnavailable, Get IK, Get SK, Unwrap');
    world.kms.interfere = () => {};
    expect(await decrypt()).toBe('opens, Get IK, Get SK, Unwrap');
  });

  it('of the latest System Key is not asked of KMS by each partition that needs a new key, for five seconds', async () => {
    const repair = spoil('SK');
    const seal = (partition: string): Promise<string> => codeOf(service.session(partition).encrypt(Buffer.from('x')));
    expect(await seal('new')).toBe('KeyRowUnreadable');
    expect(world.log.take()).toEqual(['Query IK', 'Query SK', 'Unwrap']);
    for (const partition of ['new', 'another']) {
      expect(await seal(partition)).toBe('KeyRowUnreadable');
      expect(world.log.take()).toEqual(['Query IK', 'Query SK']);
    }
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK');
    repair();
    world.clock.advance(5000);
    await service.session('new').encrypt(Buffer.from('x'));
    expect(world.log.take()).toEqual(['Query IK', 'Query SK', 'Unwrap', 'Put IK']);
    expect(await decrypt()).toBe('opens, Get IK');
  });
});

it('the memory of unreadable rows is bounded: the oldest is forgotten first', async () => {
  const unreadable = new UnreadableRows(new HandClock().now);
  const loaded: number[] = [];
  const load = (created: number): Promise<unknown> =>
    errorOf(
      unreadable.unlessKnown({ id: 'x', created } as never, () => {
        loaded.push(created);
        return Promise.reject(new KeyfoldError('KeyRowUnreadable', 'made up'));
      }),
    );
  for (let created = 0; created <= 1000; created += 1) await load(created);
  loaded.length = 0;
  for (const created of [1000, 1, 0]) await load(created);
  expect(loaded).toEqual([0]);
});

describe('a short memory', () => {
  it('forgets an entry when its time is over, and not a moment before', () => {
    const clock = new HandClock();
    const memory = new ShortMemory<number>(clock.now, 1000, 2);
    memory.set('a', 1);
    clock.advance(999);
    expect(memory.get('a')).toBe(1);
    clock.advance(1);
    expect(memory.get('a')).toBeUndefined();
  });

  it('drops the oldest entry when it is full', () => {
    const memory = new ShortMemory<number>(new HandClock().now, 1000, 2);
    for (const [name, value] of [
      ['a', 1],
      ['b', 2],
      ['a', 3],
      ['c', 4],
    ] as const)
      memory.set(name, value);
    expect(['a', 'b', 'c'].map((name) => memory.get(name))).toEqual([3, undefined, 4]);
  });
});
