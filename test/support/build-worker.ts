import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { COMMON } from '../../scripts/handler-bundle.ts';

/** A worker in one file, which starts the faster, in a folder of its own; the caller removes that. */
export async function buildWorker(entryPoint: string): Promise<string> {
  const outfile = join(await mkdtemp(join(tmpdir(), 'keyfold-worker-')), 'worker.mjs');
  await build({
    ...COMMON,
    entryPoints: [entryPoint],
    outfile,
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  return outfile;
}
