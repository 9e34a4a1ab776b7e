import { beforeEach, describe, expect, it } from 'vitest';
import { KeyfoldError, type DataRowRecord, type EnvelopeKeyRecord, type SessionFactory } from '../../../src/index.ts';
import { ShortMemory } from '../../../src/async/short-memory.ts';
import { UnreadableRows } from '../../../src/envelope/unreadable-rows.ts';
import { codeOf, errorOf, FakeDependencies, HandClock } from '../../support/fakes.ts';

let world: FakeDependencies;
let service: SessionFactory;
let record: DataRowRecord;

beforeEach(async () => {
  world = new FakeDependencies();
  record = await world.process().session('p').encrypt(Buffer.from('x'));
  service = world.process();
  world.log.take();
});

function row(kind: 'SK' | 'IK'): EnvelopeKeyRecord {
  return world.metastore.ofKind(kind)[0] as EnvelopeKeyRecord;
}

/** Overwrites the key of a row with bytes that do not open. Returns a function that repairs the row. */
function spoil(kind: 'SK' | 'IK'): () => void {
  const sound = row(kind);
  world.metastore.change(sound, { encryptedKey: Buffer.alloc(60) });
  return () => world.metastore.change(sound, {});
}

/** Decrypts the record. Returns `opens` or the error code, followed by the calls to the metastore and the KMS. */
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
  it('is sent to KMS again only after five seconds if it holds a System Key', async () => {
    const repair = spoil('SK');
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK, Get SK, Unwrap');
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK');
    repair();
    world.clock.advance(4999);
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK');
    world.clock.advance(1);
    expect(await decrypt()).toBe('opens, Get IK, Get SK, Unwrap');
  });

  it('is read again only after five seconds if it holds an Intermediate Key', async () => {
    const repair = spoil('IK');
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK, Get SK, Unwrap');
    repair();
    expect(await decrypt()).toBe('KeyRowUnreadable');
    world.clock.advance(5000);
    expect(await decrypt()).toBe('opens, Get IK');
  });

  it('is read again only after five seconds, even if the clock steps back', async () => {
    const repair = spoil('SK');
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK, Get SK, Unwrap');
    repair();
    world.clock.advance(-3_600_000);
    expect(await decrypt()).toBe('KeyRowUnreadable, Get IK');
    world.clock.advance(5000);
    expect(await decrypt()).toBe('opens, Get IK, Get SK, Unwrap');
  });

  it('is not remembered as unreadable if a KMS outage was the cause', async () => {
    world.kms.interfere = () => {
      throw new KeyfoldError('KmsUnavailable', 'out');
    };
    expect(await decrypt()).toBe('KmsUnavailable, Get IK, Get SK, Unwrap');
    world.kms.interfere = () => {};
    expect(await decrypt()).toBe('opens, Get IK, Get SK, Unwrap');
  });

  it('is sent to KMS once in five seconds if it holds the latest System Key, however many partitions need that key', async () => {
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

it('UnreadableRows drops its oldest entry if it has more than 1,000 entries', async () => {
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

describe('ShortMemory', () => {
  it('drops an entry when its time is up, and not a millisecond earlier', () => {
    const clock = new HandClock();
    const memory = new ShortMemory<number>(clock.now, 1000, 2);
    memory.set('a', 1);
    clock.advance(999);
    expect(memory.get('a')).toBe(1);
    clock.advance(1);
    expect(memory.get('a')).toBeUndefined();
  });

  it('drops its oldest entry when the memory is full', () => {
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
