/** Benchmark section: compares `keyfold verify` on a file with `decryptJson` on the same records. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { runCli } from '../src/cli/program.ts';
import { operatorAdapters } from '../src/container.ts';
import { MemoryMetastore, SessionFactory, StaticKms } from '../src/index.ts';
import { race, timesAsLong } from './compare.ts';
import { SIZES, type Figure, type SectionResult, type SizeName } from './figures.ts';

/** The number of records in the file, by payload size. */
const RECORDS = { '64 B': 10_000, '1 KiB': 10_000, '64 KiB': 200 } as const satisfies Partial<Record<SizeName, number>>;
const NAMES = { service: 'bench', product: 'keyfold' };

/** Measures how many records the command verifies per second, as a share of the rate of `decryptJson`. */
export async function measureVerify(): Promise<SectionResult> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-bench-'));
  const figures: Figure[] = [];
  try {
    for (const [size, count] of Object.entries(RECORDS) as [keyof typeof RECORDS, number][]) {
      const keyfold = open();
      const session = keyfold.session('tenant');
      const records = await Promise.all(
        Array.from({ length: count }, () => session.encryptToJson(randomBytes(SIZES[size]))),
      );
      const file = join(folder, 'records.jsonl');
      await writeFile(file, records.join('\n'));
      const { command, library } = await race(
        {
          command: () => verify(file, keyfold, count),
          library: async () => {
            for (const record of records) await session.decryptJson(record);
          },
        },
        { rounds: 15, roundMs: 200 },
      );
      const name = `records of ${size} a second, as a share of decryptJson's`;
      const byCpu = timesAsLong(library, command, 'cpuMs').value;
      figures.push({ name, ...timesAsLong(library, command), byCpu, unit: '×' });
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  return { figures };
}

function open(): SessionFactory {
  const kms = new StaticKms(randomBytes(32), process.env);
  return new SessionFactory({ ...NAMES, metastore: new MemoryMetastore(), kms });
}

async function verify(file: string, keyfold: SessionFactory, count: number): Promise<void> {
  let said = '';
  const code = await runCli(['verify', file, '--json'], {
    ...operatorAdapters,
    openSessions: async () => keyfold,
    environment: {
      KEYFOLD_SERVICE: NAMES.service,
      KEYFOLD_PRODUCT: NAMES.product,
      KEYFOLD_STATIC_MASTER_KEY_HEX: '00'.repeat(32),
    },
    terminal: { out: (text) => void (said += text), err: (text) => void (said += text) },
    stdin: Readable.from([]),
    caller: { user: 'bench', host: 'bench' },
    now: Date.now,
    version: '0.0.0',
  });
  if (code !== 0 || !said.includes(`"opens":${count},`)) throw new Error(`verify ended with ${code}: ${said}`);
}
