/**
 * Measures memory once, in a fresh process. In a used process, V8 would reuse freed memory and hide the growth. Needs
 * Node's `--expose-gc`. Arguments: `held PARTITIONS ROOM`, or `growth OPERATIONS`.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { SessionFactory, StaticKms, type EnvelopeKeyRecord } from '../src/index.ts';
import { CountingMetastore } from './counting-metastore.ts';

/** The memory that the keys in the cache need. */
export interface Held {
  /** How many partitions, starting with the most recently used one, the cache serves without a metastore call. */
  readonly partitions: number;
  /** The growth of resident memory. */
  readonly residentBytes: number;
  /** The growth of the memory that V8 reports: its heap and external memory, but not native keys. */
  readonly knownBytes: number;
}

/** The memory after each quarter of the operations. */
export type Quarters = readonly { readonly residentBytes: number; readonly heapBytes: number }[];

const CHUNK = 1000;
const WARM_UP = 200_000;
const GROWTH_ROOM = 1000;
const COLD_EVERY = 10;
const ONE = Buffer.from('x');

/** A metastore that stores only System Keys, so that other rows do not add to the measured memory. */
class SystemKeysOnly extends CountingMetastore {
  override async store(record: EnvelopeKeyRecord): Promise<'stored' | 'duplicate'> {
    return record.parent === undefined ? super.store(record) : 'stored';
  }
}

const [what, first, second] = process.argv.slice(2);
const result = what === 'held' ? await held(Number(first), Number(second)) : await growth(Number(first));
process.send?.(result, () => process.exit());

async function held(partitions: number, room: number): Promise<Held> {
  const metastore = new SystemKeysOnly();
  const keyfold = open(metastore, room);
  // Warm up first, so that compiled code and V8's young generation do not count as memory for keys.
  for (let i = 0; i < WARM_UP; i += 1) await keyfold.session('warm').encrypt(ONE);
  const before = await memory();
  await touch(keyfold, partitions);
  const after = await memory();
  return {
    partitions: await countHeld(keyfold, metastore, partitions),
    residentBytes: after.residentBytes - before.residentBytes,
    knownBytes: after.knownBytes - before.knownBytes,
  };
}

async function countHeld(keyfold: SessionFactory, metastore: CountingMetastore, partitions: number): Promise<number> {
  metastore.take();
  for (let count = 0; count < partitions; count += 1) {
    await keyfold.session(`tenant-${partitions - 1 - count}`).encrypt(ONE);
    if (metastore.take() !== 'none') return count;
  }
  return partitions;
}

/** Most operations use one partition. The others cycle through more partitions than fit into the cache. */
async function growth(operations: number): Promise<Quarters> {
  const keyfold = open(new SystemKeysOnly(), GROWTH_ROOM);
  const hot = keyfold.session('hot');
  const plaintext = randomBytes(64);
  const quarters: Quarters[number][] = [];
  let cold = 0;
  for (let quarter = 0; quarter < 4; quarter += 1) {
    for (let done = 0; done < operations / 4; done += 2 * CHUNK) {
      for (let i = 0; i < CHUNK; i += 1) {
        const session = i % COLD_EVERY === 0 ? keyfold.session(`tenant-${(cold += 1) % (2 * GROWTH_ROOM)}`) : hot;
        await session.decrypt(await session.encrypt(plaintext));
      }
      // Yield to the event loop, as happens between two invocations of a function.
      await setTimeout(0);
    }
    quarters.push(await memory());
  }
  return quarters;
}

function open(metastore: SystemKeysOnly, room: number): SessionFactory {
  return new SessionFactory({
    service: 'bench',
    product: 'keyfold',
    metastore,
    kms: new StaticKms(randomBytes(32), process.env),
    policy: { maxIntermediateKeys: room },
  });
}

async function touch(keyfold: SessionFactory, partitions: number): Promise<void> {
  for (let i = 0; i < partitions; i += 1) {
    await keyfold.session(`tenant-${i}`).encrypt(ONE);
    if (i % CHUNK !== 0) continue;
    // Collect garbage often. Freed memory, especially that of native keys, stays resident, so it would count as memory
    // of the cache.
    globalThis.gc?.();
    await setTimeout(0);
  }
}

async function memory(): Promise<{ residentBytes: number; heapBytes: number; knownBytes: number }> {
  for (let i = 0; i < 4; i += 1) {
    globalThis.gc?.();
    await setTimeout(20);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { residentBytes: rss, heapBytes: heapUsed, knownBytes: heapUsed + external };
}
