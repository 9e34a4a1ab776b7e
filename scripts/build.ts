/**
 * `npm run build`: the library, the client, the CLI and the handlers, bundled into dist/. All but the handlers leave
 * the package's dependencies to whoever installs it. dist/handlers/NAME is what a function is deployed with, and
 * dist/maps/NAME has its source maps.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { bundleHandler, COMMON, HANDLERS } from './handler-bundle.ts';

const root = join(import.meta.dirname, '..');
const outdir = process.argv[2] ?? join(root, 'dist');

/** Leaves out even the import of a client that nothing is used of: who installs the package may not have it. */
const sdkFromOutside: Plugin = {
  name: 'sdk-from-outside',
  setup: (bundler) => {
    bundler.onResolve({ filter: /^@aws-sdk\// }, ({ path }) => ({ path, external: true, sideEffects: false }));
  },
};

await rm(outdir, { recursive: true, force: true });
await Promise.all([
  build({
    ...COMMON,
    entryPoints: { index: 'src/index.ts', client: 'src/client/index.ts' },
    packages: 'external',
    outdir,
  }),
  build({
    ...COMMON,
    entryPoints: { cli: 'src/cli/main.ts' },
    plugins: [sdkFromOutside],
    outdir,
    banner: { js: '#!/usr/bin/env node' },
  }),
  ...HANDLERS.map((name) => bundleHandler(name, join(outdir, 'handlers', name), join(outdir, 'maps', name))),
]);
