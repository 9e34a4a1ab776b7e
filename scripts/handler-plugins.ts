/**
 * The esbuild plugins for the handlers. Each plugin removes code that a cold start would load and that no function in
 * Lambda uses.
 */
import { readFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import type { Plugin } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');

/** The modules that a process loads when it starts, which are the modules that the files in handlers/ import. */
const EAGER = ['container', 'doors/direct', 'doors/http', 'doors/queue', 'doors/reencrypt', 'doors/schedule'];
/**
 * Imports of all code that is loaded at the start. Each module that is loaded on demand begins with these imports, as
 * {@link ONE_EAGER_CHUNK} explains.
 */
const EAGER_IMPORTS = EAGER.map((name, i) => `import * as eager${i} from '${join(ROOT, 'src', name)}.ts';`).join('');

/**
 * Loads Node's own modules with `process.getBuiltinModule` instead of an import. An import of `node:http` reads all of
 * the module's exports, and reading one of them loads undici. With this plugin, the bundle reads only the exports that
 * it uses.
 */
export const BUILT_INS: Plugin = {
  name: 'built-ins',
  setup: (bundler) => {
    bundler.onResolve({ filter: /^(?:node:)?[a-z_0-9]+(?:\/[a-z_0-9]+)*$/ }, ({ path, kind }) => {
      const name = path.replace(/^node:/, '');
      if (!builtinModules.includes(name)) return undefined;
      return { path: name, namespace: kind === 'require-call' ? 'required' : 'imported', sideEffects: false };
    });
    bundler.onLoad({ filter: /.*/, namespace: 'required' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('node:${path}');`,
    }));
    bundler.onLoad({ filter: /.*/, namespace: 'imported' }, ({ path }) => ({ contents: builtInModule(path) }));
  },
};

function builtInModule(name: string): string {
  const properties = Object.entries(
    Object.getOwnPropertyDescriptors(process.getBuiltinModule(`node:${name}`) as object),
  );
  // A dynamic import reads all exports. Leave out each export that is a getter and also a global, because reading it
  // would load undici.
  const exported = properties.filter(
    ([key, property]) => /^\w+$/.test(key) && !('get' in property && key in globalThis),
  );
  return [
    `const it = /* @__PURE__ */ (() => process.getBuiltinModule('node:${name}'))();`,
    'export default it;',
    // Export each member by its name, because esbuild then omits the exports that no file imports.
    ...exported
      .filter(([key]) => key !== 'default')
      .map(([key], i) => `const e${i} = /* @__PURE__ */ (() => it.${key})(); export { e${i} as ${key} };`),
  ].join('\n');
}

/**
 * Removes the SDK's credential providers that do not exist in Lambda: SSO, profiles, processes, web identities and the
 * metadata of EC2. In Lambda, credentials are in the environment or at the URL in AWS_CONTAINER_CREDENTIALS_FULL_URI,
 * so the providers for these two stay. If neither finds credentials, the chain fails. Lambda sets AWS_REGION, so no
 * function reads its region from the metadata of EC2 either.
 */
export const LAMBDA_CREDENTIALS: Plugin = {
  name: 'lambda-credentials',
  setup: (bundler) => {
    const filter =
      /^@aws-sdk\/credential-provider-(?:sso|ini|process|web-identity)$|^@smithy\/credential-provider-imds$/;
    bundler.onResolve({ filter }, () => ({ path: 'absent', namespace: 'credentials', sideEffects: false }));
    bundler.onLoad({ filter: /.*/, namespace: 'credentials' }, () => ({
      resolveDir: ROOT,
      contents: `
        ${EAGER_IMPORTS}
        import { CredentialsProviderError } from '@smithy/core/config';
        const absent = () => async () => {
          throw new CredentialsProviderError('Lambda has no such credentials.', { tryNextLink: true });
        };
        export { absent as fromSSO, absent as fromIni, absent as fromProcess, absent as fromTokenFile };
        export { absent as fromInstanceMetadata, absent as fromContainerMetadata };
        export const ENV_CMDS_FULL_URI = 'AWS_CONTAINER_CREDENTIALS_FULL_URI';
        export const ENV_CMDS_RELATIVE_URI = 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI';`,
    }));
    bundler.onLoad({ filter: /\/regionConfig\/getInstanceMetadataRegion\.js$/ }, () => ({
      contents: 'export const getInstanceMetadataRegion = async () => undefined;',
    }));
  },
};

/** Removes the SDK's code for event streams and browsers, and the code for an HSM. The functions use none of these. */
export const NEVER_LOADED: Plugin = {
  name: 'never-loaded',
  setup: (bundler) => {
    // Only operator commands load this module. esbuild removes the code of those commands, but would still create
    // chunks for this module's imports.
    bundler.onResolve({ filter: /^\.\/kms\/pkcs11\// }, ({ path }) => ({ path, external: true }));
    const filter = /^@smithy\/core\/event-streams$|^bowser$/;
    bundler.onResolve({ filter }, ({ path }) => ({ path, namespace: 'never-loaded' }));
    bundler.onLoad({ filter: /.*/, namespace: 'never-loaded' }, ({ path }) => ({
      contents: `throw new Error('${path} is left out of this bundle.'); export const EventStreamSerde = undefined; export default undefined;`,
    }));
  },
};

/**
 * Reduces each package.json to its version. The user agents of the SDK's clients and `keyfold --version` read nothing
 * else.
 */
export const VERSION_ALONE: Plugin = {
  name: 'version-alone',
  setup: (bundler) => {
    bundler.onLoad({ filter: /\/package\.json$/ }, async ({ path }) => {
      const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string };
      return { contents: JSON.stringify({ version }), loader: 'json' };
    });
  },
};

/**
 * The error classes that the SDK's retry code tests with `instanceof`. Our code identifies all other errors by name.
 */
export const KEPT_ERRORS: ReadonlySet<string> = new Set(['ReplicatedWriteConflictException']);

/**
 * Removes the SDK's error classes that our code identifies by name only. There are about a hundred of them, and each
 * cold start would define them all. If an error's class is missing, the SDK throws its service's base exception with
 * the error's name.
 */
export const ERRORS_BY_NAME: Plugin = {
  name: 'errors-by-name',
  setup: (bundler) => {
    bundler.onLoad({ filter: /@aws-sdk\/client-[\w-]+\/dist-es\/schemas\/schemas_0\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      // esbuild would keep an unused array, because the computed names in it could have a side effect. So a function
      // that is marked as pure returns the array.
      const schema = /^export var (\w+)\$ = (\[-3, n0,[^;]*);\n(n0_registry\.registerError\()/gm;
      const contents = text.replace(schema, (kept, name: string, array: string, register: string) =>
        KEPT_ERRORS.has(name)
          ? kept
          : `export var ${name}$ = /* @__PURE__ */ (() => ${array})();\n/* @__PURE__ */ ${register}`,
      );
      return { contents };
    });
  },
};

/**
 * Removes the descriptions of schemas. Only the OpenAPI document contains them, and a handler loads that document as a
 * file.
 */
export const NO_DESCRIPTIONS: Plugin = {
  name: 'no-descriptions',
  setup: (bundler) => {
    bundler.onLoad({ filter: /\/src\/operations\/[\w-]+\.ts$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const contents = text.replaceAll(/\bv\.description\(\s*(?:'[^'\\]*'|"[^"\\]*"),?\s*\)/g, "v.description('')");
      return { contents, loader: 'ts' };
    });
  },
};

/** Makes a plugin that replaces the code of modules. */
function replacing(name: string, replacements: readonly (readonly [module: RegExp, contents: string])[]): Plugin {
  return {
    name,
    setup: (bundler) => {
      for (const [filter, contents] of replacements) {
        bundler.onLoad({ filter }, ({ path }) => ({ contents, resolveDir: dirname(path) }));
      }
    },
  };
}

/**
 * Removes the endpoint cache of the DynamoDB client. Only endpoint discovery needs this cache, and Keyfold does not use
 * endpoint discovery.
 */
export const NO_ENDPOINT_CACHE: Plugin = replacing('no-endpoint-cache', [
  [/@aws-sdk\/endpoint-cache\/dist-es\/EndpointCache\.js$/, 'export class EndpointCache {}'],
]);

/** Removes code of the SDK that no function runs. */
export const NEVER_RUN: Plugin = replacing('never-run', [
  // The SDK uses its own SHA-256 only if `node:crypto` has none. In Node, it always has one.
  [/@smithy\/core\/dist-es\/.*\/Sha256Js\.js$/, 'export class Sha256Js {}'],
  // This class is needed only to sign messages in event streams.
  [/@smithy\/signature-v4\/dist-es\/HeaderFormatter\.js$/, 'export class HeaderFormatter {}'],
  // Only the KMS clients read the retry mode from AWS_RETRY_MODE, and they make only one attempt. So the mode makes no
  // difference.
  [
    /\/util-retry\/AdaptiveRetryStrategy\.js$/,
    "export { StandardRetryStrategy as AdaptiveRetryStrategy } from './StandardRetryStrategy.js';",
  ],
  // In Node, no response is a browser stream.
  [
    /\/util-stream\/sdk-stream-mixin\.browser\.js$/,
    "export const sdkStreamMixin = () => { throw new TypeError('Node has no such streams.'); };",
  ],
]);

/**
 * The modules that a process loads on demand: those of src that another module imports dynamically, and one of the SDK.
 */
const LAZY =
  /\/src\/(?:config\/vault-config|kms\/(?:faults|wrap-renewal|vault\/configured-vault)|quotas\/aws-quota-inspector|doors\/payload-format-1)\.ts$|\/credential-provider-http\/dist-es\/index\.js$/;

/**
 * Puts all code that is loaded at the start into one chunk. Without this plugin, esbuild moves code that both lazy and
 * eager modules use into separate chunks. Each start then opens more files, and reads more import and export
 * statements. This plugin makes each lazy module import all eager code. All of that code is then shared, so it forms
 * one chunk. esbuild removes these imports from the bundle, because nothing uses them.
 */
export const ONE_EAGER_CHUNK: Plugin = {
  name: 'one-eager-chunk',
  setup: (bundler) => {
    bundler.onLoad({ filter: LAZY }, async ({ path }) => ({
      contents: `${EAGER_IMPORTS}${await readFile(path, 'utf8')}`,
      loader: path.endsWith('.ts') ? 'ts' : 'js',
    }));
  },
};
