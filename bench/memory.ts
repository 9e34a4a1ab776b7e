/** What cached keys hold of memory, and that nothing else goes on growing. Needs Node's `--expose-gc`. */
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { MemoryMetastore, SessionFactory, StaticKms, type CryptoPolicy, type EnvelopeKeyRecord } from '../src/index.ts';
import type { SectionResult } from './figures.ts';

const PARTITIONS = 100_000;
const ROOM = 1000;
/** Operations that warm the process up before its growth is looked at. */
const SETTLED_AFTER = 500_000;
const CHUNK = 1000;
const MIB = 1024 * 1024;

/** Keeps System Keys only: what is measured is the cache, not the rows of a metastore in memory. */
class SystemKeysOnly extends MemoryMetastore {
  override async store(record: EnvelopeKeyRecord): Promise<'stored' | 'duplicate'> {
    return record.parent === undefined ? super.store(record) : 'stored';
  }
}

/** Measures cached keys, by the resident memory of this process, which nothing else has used. */
export async function measureMemory(): Promise<SectionResult> {
  const bytes = await bytesOfCachedKey();
  const keysHeld = await keysHeldWithLittleRoom();
  return {
    figures: [
      { name: 'a cached Intermediate Key', value: bytes / 1024, unit: 'KiB' },
      { name: 'keys held of 100,000 partitions, with room for 1,000', value: String(keysHeld), unit: '' },
    ],
  };
}

/** Measures what resident memory grows by over many operations, in a process of its own too. */
export async function measureGrowth(): Promise<SectionResult> {
  const operations = Number(process.env['BENCH_OPERATIONS'] ?? 1_000_000);
  const growthMib = await growthOver(operations);
  return {
    figures: [
      { name: 'growth of resident memory', value: growthMib, unit: 'MiB' },
      { name: 'operations', value: operations.toLocaleString('en'), unit: '' },
    ],
  };
}

async function bytesOfCachedKey(): Promise<number> {
  const { keyfold } = open({ maxIntermediateKeys: PARTITIONS });
  await touch(keyfold, 1);
  const before = await residentBytes();
  await touch(keyfold, PARTITIONS);
  const bytes = ((await residentBytes()) - before) / PARTITIONS;
  // Asked once more the cache must answer, or it was not measured.
  await keyfold.session('tenant-0').encrypt(Buffer.from('x'));
  return bytes;
}

async function keysHeldWithLittleRoom(): Promise<number> {
  const { keyfold, evictions } = open({ maxIntermediateKeys: ROOM });
  await touch(keyfold, PARTITIONS);
  return PARTITIONS - evictions();
}

async function growthOver(operations: number): Promise<number> {
  const session = open({}).keyfold.session('tenant-0');
  const plaintext = randomBytes(64);
  const run = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += 2 * CHUNK) {
      for (let i = 0; i < CHUNK; i += 1) await session.decrypt(await session.encrypt(plaintext));
      // As between a function's invocations.
      await setTimeout(0);
    }
  };
  await run(SETTLED_AFTER);
  const before = await residentBytes();
  await run(operations);
  return ((await residentBytes()) - before) / MIB;
}

function open(policy: Partial<CryptoPolicy>): { keyfold: SessionFactory; evictions: () => number } {
  let evictions = 0;
  const keyfold = new SessionFactory({
    service: 'bench',
    product: 'keyfold',
    metastore: new SystemKeysOnly(),
    kms: new StaticKms(randomBytes(32), process.env),
    policy,
    events: {
      keyCreated: () => {},
      keyRetired: () => {},
      servedStale: () => {},
      cacheUsed: (kind, outcome) => {
        if (kind === 'intermediate' && outcome === 'eviction') evictions += 1;
      },
    },
  });
  return { keyfold, evictions: () => evictions };
}

async function touch(keyfold: SessionFactory, partitions: number): Promise<void> {
  for (let i = 0; i < partitions; i += 1) {
    await keyfold.session(`tenant-${i}`).encrypt(Buffer.from('x'));
    if (i % CHUNK === 0) await setTimeout(0);
  }
}

async function residentBytes(): Promise<number> {
  for (let i = 0; i < 4; i += 1) {
    globalThis.gc?.();
    await setTimeout(20);
  }
  return process.memoryUsage.rss();
}
