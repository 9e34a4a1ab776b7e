/**
 * `npm run build`: bundles the entries of the package, the CLI and the handlers into dist/, with the licences of the
 * packages in each bundle. dist/handlers/NAME is deployed as the code of a function, and dist/maps/NAME has its source
 * maps.
 */
import { copyFile, readFile, rm } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { bundleHandler, COMMON, HANDLERS } from './handler-bundle.ts';
import { ERRORS_BY_NAME, NO_ENDPOINT_CACHE, VERSION_ALONE } from './handler-plugins.ts';
import { writeLicences } from './third-party.ts';

const root = join(import.meta.dirname, '..');
const outdir = process.argv[2] ?? join(root, 'dist');

/**
 * Modules that become separate files in dist/ although the package does not export them. A user of one entry may not
 * need these modules, and the user's bundler can drop only whole files of a package.
 */
const SEPARATE = [
  'envelope/session-factory',
  'kms/aws-kms',
  // The worker thread of Pkcs11Kms.
  'kms/pkcs11/pkcs11-worker',
  'kms/static-kms',
  'maintenance/system-key-maintenance',
  'metastore/dynamodb-metastore',
  'metastore/memory-metastore',
  'operations/session-batch',
  'operations/session-fields',
];

/**
 * Gives Keyfold's client its own copy of the SDK's signing code. Otherwise esbuild would put that code into one file
 * with code that only the SDK's own clients need, such as the KMS client. A user's bundler drops unused files, but
 * rarely unused statements of a file that it needs.
 */
const SIGNING_ALONE: Plugin = {
  name: 'signing-alone',
  setup: (bundler) => {
    const [namespace, resolving] = ['signing', {}];
    bundler.onResolve({ filter: /./ }, async ({ path, importer, resolveDir, kind, pluginData, ...from }) => {
      const isSigner = /\/src\/client\/(?:sign|errors)\.ts$/.test(importer) && path.startsWith('@');
      if (pluginData === resolving || !(isSigner || from.namespace === namespace)) return undefined;
      const found = await bundler.resolve(path, { importer, resolveDir, kind, pluginData: resolving });
      // With `sideEffects: false`, esbuild drops modules that only register something when they are loaded. The signing
      // code works without them.
      return found.external ? found : { path: relative(root, found.path), namespace, sideEffects: false };
    });
    bundler.onLoad({ filter: /./, namespace }, async ({ path }) => ({
      contents: await readFile(join(root, path)),
      resolveDir: join(root, dirname(path)),
    }));
  },
};

/**
 * Finds the modules of the entries that package.json exports: `dist/client/index.js` belongs to `src/client/index.ts`.
 */
async function entryModules(): Promise<string[]> {
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    exports: Readonly<Record<string, { readonly default: string }>>;
  };
  return Object.values(exports).map((entry) => entry.default.replace(/^\.\/dist\/(.*)\.js$/, '$1'));
}

/** Bundles the entries and the CLI, which share chunks and contain the packages that they use. */
async function bundlePackage(): Promise<void> {
  const modules = [...(await entryModules()), ...SEPARATE];
  const { metafile } = await build({
    ...COMMON,
    target: 'node20.19',
    entryPoints: {
      ...Object.fromEntries(modules.map((module) => [module, `src/${module}.ts`])),
      cli: 'src/cli/main.ts',
    },
    chunkNames: 'chunks/[name]-[hash]',
    splitting: true,
    metafile: true,
    plugins: [SIGNING_ALONE, VERSION_ALONE, ERRORS_BY_NAME, NO_ENDPOINT_CACHE],
    outdir,
  });
  await writeLicences(metafile, outdir);
}

await rm(outdir, { recursive: true, force: true });
await Promise.all([
  bundlePackage(),
  ...HANDLERS.map((name) => bundleHandler(name, join(outdir, 'handlers', name), join(outdir, 'maps', name))),
]);
for (const name of HANDLERS) {
  for (const file of ['LICENSE', 'NOTICE']) await copyFile(join(root, file), join(outdir, 'handlers', name, file));
}
