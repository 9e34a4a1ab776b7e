/**
 * One measurement of memory, in a process that has done nothing else: what another has freed would be taken again, and not be counted.
 * Needs Node's `--expose-gc`. Arguments: `held PARTITIONS ROOM`, or `growth OPERATIONS`.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { SessionFactory, StaticKms, type EnvelopeKeyRecord } from '../src/index.ts';
import { CountingMetastore } from './counting-metastore.ts';

/** What cached keys come to. */
export interface Held {
  /** How many the cache holds. */
  readonly keys: number;
  /** How much more of memory is resident than before. */
  readonly residentBytes: number;
  /** How much more of it V8 knows: its heap, and what its objects have outside. Native keys it does not know. */
  readonly knownBytes: number;
  /** What the metastore was asked when each partition was used once more. */
  readonly callsOfSecondUse: string;
}

/** Memory after each quarter of the operations. */
export type Quarters = readonly { readonly residentBytes: number; readonly heapBytes: number }[];

const CHUNK = 1000;
const WARM_UP = 200_000;
const ONE = Buffer.from('x');

/** Keeps System Keys only: what is measured is the cache, not the rows of a metastore in memory. */
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
  let evictions = 0;
  const keyfold = open(metastore, room, () => (evictions += 1));
  // Compiles the code and grows V8's young generation, which are no key's.
  for (let i = 0; i < WARM_UP; i += 1) await keyfold.session('warm').encrypt(ONE);
  const before = await memory();
  await touch(keyfold, partitions);
  const after = await memory();
  metastore.take();
  // Those used last, which are the ones that are held.
  const firstHeld = Math.max(0, partitions - room);
  for (let i = firstHeld; i < partitions; i += 1) await keyfold.session(`tenant-${i}`).encrypt(ONE);
  return {
    keys: partitions + 1 - evictions,
    residentBytes: after.residentBytes - before.residentBytes,
    knownBytes: after.knownBytes - before.knownBytes,
    callsOfSecondUse: metastore.take(),
  };
}

async function growth(operations: number): Promise<Quarters> {
  const session = open(new SystemKeysOnly(), 1000, () => 0).session('tenant-0');
  const plaintext = randomBytes(64);
  const quarters: Quarters[number][] = [];
  for (let quarter = 0; quarter < 4; quarter += 1) {
    for (let done = 0; done < operations / 4; done += 2 * CHUNK) {
      for (let i = 0; i < CHUNK; i += 1) await session.decrypt(await session.encrypt(plaintext));
      // As between a function's invocations.
      await setTimeout(0);
    }
    quarters.push(await memory());
  }
  return quarters;
}

function open(metastore: SystemKeysOnly, room: number, evicted: () => number): SessionFactory {
  return new SessionFactory({
    service: 'bench',
    product: 'keyfold',
    metastore,
    kms: new StaticKms(randomBytes(32), process.env),
    policy: { maxIntermediateKeys: room },
    events: {
      keyCreated: () => {},
      keyRetired: () => {},
      servedStale: () => {},
      cacheUsed: (kind, outcome) => {
        if (kind === 'intermediate' && outcome === 'eviction') evicted();
      },
    },
  });
}

async function touch(keyfold: SessionFactory, partitions: number): Promise<void> {
  for (let i = 0; i < partitions; i += 1) {
    await keyfold.session(`tenant-${i}`).encrypt(ONE);
    if (i % CHUNK !== 0) continue;
    // What garbage has once held stays resident, native keys' above all, and would be taken for what the cache holds.
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
