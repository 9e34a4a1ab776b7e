/**
 * Bundles the handlers so that a cold start reads and runs as little code as possible
 * (docs/explanation/performance.md).
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build, type BuildOptions } from 'esbuild';
import {
  BUILT_INS,
  ERRORS_BY_NAME,
  LAMBDA_CREDENTIALS,
  NEVER_LOADED,
  NO_DESCRIPTIONS,
  NEVER_RUN,
  NO_ENDPOINT_CACHE,
  ONE_EAGER_CHUNK,
  VERSION_ALONE,
} from './handler-plugins.ts';
import { writeLicences } from './third-party.ts';

/** The files in handlers/. Each one is a function's entry. */
export const HANDLERS = ['api', 'invoke', 'maintenance', 'queue', 'reencrypt'] as const;

/** The esbuild options that all bundles share. */
export const COMMON: BuildOptions = {
  absWorkingDir: join(import.meta.dirname, '..'),
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  mainFields: ['module', 'main'],
  // Optional peers of the package. Only the CLI and keyfold/cdk load them.
  external: ['pg', 'mysql2/promise', 'aws-cdk-lib', 'constructs'],
  logLevel: 'warning',
};

/**
 * Bundles a handler into the folder that is deployed as its function. The folder contains `index.mjs`, the code that is
 * loaded at the start, the code that is loaded on demand, and their licences.
 * @param maps a folder for the source maps, which are not deployed
 */
export async function bundleHandler(name: string, folder: string, maps?: string): Promise<void> {
  const { outputFiles, metafile } = await build({
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
    metafile: true,
    plugins: [
      BUILT_INS,
      LAMBDA_CREDENTIALS,
      NEVER_LOADED,
      VERSION_ALONE,
      ERRORS_BY_NAME,
      NO_DESCRIPTIONS,
      NO_ENDPOINT_CACHE,
      NEVER_RUN,
      ONE_EAGER_CHUNK,
    ],
  });
  await mkdir(folder, { recursive: true });
  if (maps !== undefined) await mkdir(maps, { recursive: true });
  for (const { path, contents } of outputFiles) {
    const home = path.endsWith('.map') ? maps : folder;
    if (home !== undefined) await writeFile(join(home, basename(path)), contents);
  }
  await writeLicences(metafile, folder);
}

/** Bundles a handler with esbuild's defaults, for comparison with {@link bundleHandler}. */
export async function bundlePlainHandler(name: string, folder: string): Promise<void> {
  await build({
    ...COMMON,
    entryPoints: { index: `handlers/${name}.ts` },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    // Dependencies in CommonJS use `require` to load Node's own modules.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
}
