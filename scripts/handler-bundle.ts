/**
 * How the functions' handlers are bundled, so that a cold start reads and runs as little as it can
 * (docs/performance.md).
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build, type BuildOptions } from 'esbuild';
import {
  BUILT_INS,
  ERRORS_BY_NAME,
  LAMBDA_CREDENTIALS,
  NEVER_LOADED,
  NO_ENDPOINT_CACHE,
  VERSION_ALONE,
} from './handler-plugins.ts';

/** The files of handlers/, of which each is a function's entry. */
export const HANDLERS = ['api', 'invoke', 'maintenance', 'queue'] as const;

/** What all bundles have in common. */
export const COMMON: BuildOptions = {
  absWorkingDir: join(import.meta.dirname, '..'),
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  mainFields: ['module', 'main'],
  logLevel: 'warning',
};

/**
 * Bundles a handler into a folder that is all its function is deployed with: `index.mjs`, what it loads at once, and
 * what is loaded when it is asked for.
 * @param maps a folder for the source maps, which are not deployed
 */
export async function bundleHandler(name: string, folder: string, maps?: string): Promise<void> {
  const { outputFiles } = await build({
    ...COMMON,
    entryPoints: { index: `handlers/${name}.ts` },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    splitting: true,
    minify: true,
    sourcemap: 'external',
    sourcesContent: false,
    legalComments: 'none',
    write: false,
    plugins: [BUILT_INS, LAMBDA_CREDENTIALS, NEVER_LOADED, VERSION_ALONE, ERRORS_BY_NAME, NO_ENDPOINT_CACHE],
  });
  await mkdir(folder, { recursive: true });
  if (maps !== undefined) await mkdir(maps, { recursive: true });
  for (const { path, contents } of outputFiles) {
    const home = path.endsWith('.map') ? maps : folder;
    if (home !== undefined) await writeFile(join(home, basename(path)), contents);
  }
}

/** Bundles a handler as esbuild does by itself: what {@link bundleHandler} is measured against. */
export async function bundlePlainHandler(name: string, folder: string): Promise<void> {
  await build({
    ...COMMON,
    entryPoints: { index: `handlers/${name}.ts` },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    // What is CommonJS among the dependencies calls require for Node's own modules.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
}
