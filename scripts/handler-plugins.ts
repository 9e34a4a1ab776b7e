/** esbuild plugins of the handlers' bundles. Each takes something out of a cold start that Lambda never uses there. */
import { readFile } from 'node:fs/promises';
import { builtinModules } from 'node:module';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');

/**
 * Node's own modules by `process.getBuiltinModule` instead of an import: an import of `node:http` reads every export of
 * it, and one of those loads undici. Of each only what is used is read.
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
  // An import that is awaited reads all that is here. What is behind a getter, and a global, too, is undici's.
  const exported = properties.filter(
    ([key, property]) => /^\w+$/.test(key) && !('get' in property && key in globalThis),
  );
  return [
    `const it = /* @__PURE__ */ (() => process.getBuiltinModule('node:${name}'))();`,
    'export default it;',
    // Where nobody imports it esbuild leaves it out.
    ...exported
      .filter(([key]) => key !== 'default')
      .map(([key], i) => `const e${i} = /* @__PURE__ */ (() => it.${key})(); export { e${i} as ${key} };`),
  ].join('\n');
}

/**
 * Leaves out of the SDK's chain of credential providers those that Lambda has nothing for: SSO, profiles, processes,
 * web identities and the metadata of EC2. Lambda's credentials are in the environment, or behind the URL that
 * AWS_CONTAINER_CREDENTIALS_FULL_URI has; those two stay, and where there is neither the chain fails.
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
        import { CredentialsProviderError } from '@smithy/core/config';
        const absent = () => async () => {
          throw new CredentialsProviderError('Lambda has no such credentials.', { tryNextLink: true });
        };
        export { absent as fromSSO, absent as fromIni, absent as fromProcess, absent as fromTokenFile };
        export { absent as fromInstanceMetadata, absent as fromContainerMetadata };
        export const ENV_CMDS_FULL_URI = 'AWS_CONTAINER_CREDENTIALS_FULL_URI';
        export const ENV_CMDS_RELATIVE_URI = 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI';`,
    }));
  },
};

/** Leaves out what the SDK loads for event streams and in a browser: no call of ours comes to either. */
export const NEVER_LOADED: Plugin = {
  name: 'never-loaded',
  setup: (bundler) => {
    const filter = /^@smithy\/core\/event-streams$|^bowser$/;
    bundler.onResolve({ filter }, ({ path }) => ({ path, namespace: 'never-loaded' }));
    bundler.onLoad({ filter: /.*/, namespace: 'never-loaded' }, ({ path }) => ({
      contents: `throw new Error('${path} is left out of this bundle.'); export const EventStreamSerde = undefined; export default undefined;`,
    }));
  },
};

/** Of the SDK clients' package.json, which their user agents take the version from, just that. */
export const VERSION_ALONE: Plugin = {
  name: 'version-alone',
  setup: (bundler) => {
    bundler.onLoad({ filter: /@aws-sdk\/client-[\w-]+\/package\.json$/ }, async ({ path }) => {
      const { version } = JSON.parse(await readFile(path, 'utf8')) as { version: string };
      return { contents: JSON.stringify({ version }), loader: 'json' };
    });
  },
};

/** What the code, or the SDK's retries, tell from others by their class; by name they tell any. */
export const KEPT_ERRORS: ReadonlySet<string> = new Set([
  'ConditionalCheckFailedException',
  'ReplicatedWriteConflictException',
]);

/**
 * Leaves out of the SDK's clients the classes of errors that are told by their names alone: a client makes its base
 * class with that name of an error that it has no class for. There are a hundred, made one by one at each start.
 */
export const ERRORS_BY_NAME: Plugin = {
  name: 'errors-by-name',
  setup: (bundler) => {
    bundler.onLoad({ filter: /@aws-sdk\/client-[\w-]+\/dist-es\/schemas\/schemas_0\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const contents = text.replace(/^n0_registry\.registerError\((\w+)\$/gm, (call, name: string) =>
        KEPT_ERRORS.has(name) ? call : `/* @__PURE__ */ ${call}`,
      );
      return { contents };
    });
  },
};

/**
 * Leaves out the cache of endpoints that DynamoDB's client makes and none of its commands asks: none discovers its
 * endpoint.
 */
export const NO_ENDPOINT_CACHE: Plugin = {
  name: 'no-endpoint-cache',
  setup: (bundler) => {
    bundler.onResolve({ filter: /^@aws-sdk\/endpoint-cache$/ }, ({ path }) => ({
      path,
      namespace: 'no-endpoint-cache',
    }));
    bundler.onLoad({ filter: /.*/, namespace: 'no-endpoint-cache' }, () => ({
      contents: 'export class EndpointCache {}',
    }));
  },
};
