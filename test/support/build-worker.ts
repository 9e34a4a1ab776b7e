import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { COMMON } from '../../scripts/handler-bundle.ts';

/**
 * Bundles a worker into a single file, which starts faster than several. The file is alone in a new folder, which the
 * caller removes.
 */
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
