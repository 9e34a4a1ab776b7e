import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

/**
 * Bundles a worker into one file, which starts faster than many. The file is alone in a new folder, which the caller
 * removes.
 */
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
