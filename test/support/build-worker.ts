import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

/** A worker in one file, which starts the faster, in a folder of its own; the caller removes that. */
export async function buildWorker(entryPoint: string): Promise<string> {
  const outfile = join(await mkdtemp(join(tmpdir(), 'keyfold-worker-')), 'worker.mjs');
  await build({
    entryPoints: [entryPoint],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    mainFields: ['module', 'main'],
    logLevel: 'warning',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  return outfile;
}
