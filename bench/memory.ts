/** Benchmark section: measures the memory of cached keys, and checks that nothing else makes memory grow. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { SectionResult } from './figures.ts';
import type { Held, Quarters } from './memory-worker.ts';

const PARTITIONS = 100_000;
const ROOM = 10_000;
const OPERATIONS = 4_000_000;
const KIB = 1024;
const MIB = 1024 * KIB;

/** Takes each memory measurement in a separate process. */
export async function measureMemory(): Promise<SectionResult> {
  const all = (await inChild('held', PARTITIONS, PARTITIONS + 1)) as Held;
  const few = (await inChild('held', ROOM, ROOM)) as Held;
  const bound = (await inChild('held', PARTITIONS, ROOM)) as Held;
  const operations = Number(process.env['BENCH_OPERATIONS'] ?? OPERATIONS);
  const quarters = (await inChild('growth', operations)) as Quarters;
  // Ignore the first quarter, in which garbage grows to its usual level in V8 and malloc.
  const grownBy = (what: keyof Quarters[number]): number => {
    return ((quarters.at(-1)?.[what] ?? Number.NaN) - (quarters[1]?.[what] ?? Number.NaN)) / MIB;
  };
  return {
    figures: [
      { name: 'a cached Intermediate Key', value: all.residentBytes / PARTITIONS / KIB, unit: 'KiB' },
      { name: 'of which V8 knows', value: all.knownBytes / PARTITIONS / KIB, unit: 'KiB' },
      { name: 'partitions held of 100,000, with room for all', value: String(all.partitions), unit: '' },
      { name: 'partitions held of 100,000, with room for 10,000', value: String(bound.partitions), unit: '' },
      { name: 'memory of 10,000 partitions, with room for 10,000', value: few.residentBytes / MIB, unit: 'MiB' },
      { name: 'memory of 100,000 partitions, with room for 10,000', value: bound.residentBytes / MIB, unit: 'MiB' },
      { name: 'operations over which growth was looked at', value: operations.toLocaleString('en'), unit: '' },
      { name: 'growth of resident memory, second quarter to last', value: grownBy('residentBytes'), unit: 'MiB' },
      { name: 'growth of the heap, second quarter to last', value: grownBy('heapBytes'), unit: 'MiB' },
    ],
  };
}

async function inChild(...args: readonly (string | number)[]): Promise<unknown> {
  const child = fork(join(import.meta.dirname, 'memory-worker.ts'), args.map(String), { execArgv: ['--expose-gc'] });
  const answered = once(child, 'message') as Promise<[unknown]>;
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the measurement of ${args.join(' ')} ended with ${code} and no result`);
  });
  const [result] = await Promise.race([answered, ended]);
  return result;
}
