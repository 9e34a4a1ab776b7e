/**
 * `npm run build`: the library, the client, the CLI and the handlers, bundled into dist/. All but the handlers leave the package's
 * dependencies to whoever installs it.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';

const root = join(import.meta.dirname, '..');
const outdir = process.argv[2] ?? join(root, 'dist');

const common: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  mainFields: ['module', 'main'],
  logLevel: 'warning',
};

/** Leaves out even the import of a client that nothing is used of: who installs the package may not have it. */
const sdkFromOutside: Plugin = {
  name: 'sdk-from-outside',
  setup: (bundler) => {
    bundler.onResolve({ filter: /^@aws-sdk\// }, ({ path }) => ({ path, external: true, sideEffects: false }));
  },
};

await rm(outdir, { recursive: true, force: true });
await build({
  ...common,
  entryPoints: { index: 'src/index.ts', client: 'src/client/index.ts' },
  packages: 'external',
  outdir,
});
await build({
  ...common,
  entryPoints: { cli: 'src/cli/main.ts' },
  plugins: [sdkFromOutside],
  outdir,
  banner: { js: '#!/usr/bin/env node' },
});
await build({
  ...common,
  // Each in a folder of its own, which is all that its function is deployed with.
  entryPoints: Object.fromEntries(
    ['api', 'invoke', 'maintenance', 'queue'].map((name) => [`${name}/index`, `handlers/${name}.ts`]),
  ),
  outdir: join(outdir, 'handlers'),
  outExtension: { '.js': '.mjs' },
  // What is CommonJS among the dependencies calls require for Node's own modules.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});
