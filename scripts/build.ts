/**
 * `npm run build`: bundles the library, the client, the CLI and the handlers into dist/. Only the bundles of the
 * handlers contain the package's dependencies: a user of the package installs them with it. dist/handlers/NAME is
 * deployed as the code of a function, and dist/maps/NAME has its source maps.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { bundleHandler, COMMON, HANDLERS } from './handler-bundle.ts';

const root = join(import.meta.dirname, '..');
const outdir = process.argv[2] ?? join(root, 'dist');

/**
 * Removes the import of an SDK client that a bundle does not use, because a user of the package may not have that
 * client.
 */
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
