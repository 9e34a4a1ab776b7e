/** Tests the structure of the source: which folder may import which others, and which files may use `process`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');

/** Node modules that only the commands for operators may import. */
const OF_A_TERMINAL = [
  'node:events',
  'node:fs/promises',
  'node:os',
  'node:readline/promises',
  'node:stream',
  'node:util',
];
/** Modules with which the client signs HTTP requests and classifies signing errors. */
const TO_SIGN = [
  '@aws-sdk/core/client',
  '@aws-sdk/credential-provider-node',
  '@smithy/core/retry',
  '@smithy/signature-v4',
];
/** The service's files that the client may import. None of them handles keys. */
const SHARED_WITH_CLIENT = [
  'async/deadline.ts',
  'connections/agents.ts',
  'connections/found-credentials.ts',
  'connections/freeze-guard.ts',
  'connections/passing-fault.ts',
  'connections/sdk-client.ts',
  'connections/signature-fault.ts',
  'crypto/base64.ts',
  'crypto/sha256.ts',
  'crypto/utf8.ts',
  'errors.ts',
  'input/checks.ts',
  'input/defaults.ts',
  'input/hidden-characters.ts',
  'input/json-object.ts',
  'input/local-host.ts',
  'operations/fields-request.ts',
  'operations/http-partition.ts',
  'operations/operation-name.ts',
  'records/fast-paths.ts',
  'records/ids.ts',
];
/** The only file other than the container that may use `process`. */
const CLI_ENTRY = join(root, 'src', 'cli', 'main.ts');
/** The entry of the library. It passes the environment to StaticKms if the caller does not. */
const LIBRARY_ENTRY = join(root, 'src', 'index.ts');

/** The modules that every folder may import. */
const FLOOR = ['input', 'errors.ts'];
/** The modules that the key lifecycle and all folders above it may import. */
const CORE = [...FLOOR, 'crypto', 'async', 'records'];

/** For each folder of src: the other folders and the packages that it may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  input: ['node:util/types'],
  'errors.ts': ['input'],
  crypto: [...FLOOR, 'node:crypto'],
  async: FLOOR,
  records: [...FLOOR, 'crypto'],
  envelope: [...CORE, 'node:crypto'],
  maintenance: [...CORE, 'connections', 'envelope', 'operations', 'node:crypto', 'node:timers/promises'],
  connections: [
    ...FLOOR,
    'async',
    'node:events',
    'node:http',
    'node:https',
    'node:module',
    'node:net',
    '@aws-sdk/credential-provider-node',
    '@smithy/core/retry',
  ],
  kms: [
    ...CORE,
    'envelope',
    'maintenance',
    'connections',
    'node:crypto',
    'node:timers/promises',
    '@aws-sdk/client-kms',
    '@aws-sdk/core/client',
    '@smithy/core/retry',
    // Additional modules for VaultKms.
    'node:fs/promises',
    'node:http',
    'node:https',
    '@smithy/signature-v4',
    // Additional modules for Pkcs11Kms.
    'node:module',
    'node:path',
    'node:worker_threads',
  ],
  metastore: [
    ...CORE,
    'envelope',
    'maintenance',
    'connections',
    'node:net',
    'node:util',
    '@aws-sdk/client-dynamodb',
    'pg',
    'mysql2/promise',
  ],
  operations: [...CORE, 'envelope', 'valibot'],
  quotas: [
    'errors.ts',
    'async',
    'connections',
    'maintenance',
    '@aws-sdk/client-cloudwatch',
    '@aws-sdk/client-service-quotas',
  ],
  rows: [
    ...CORE,
    'maintenance',
    'operations',
    'connections',
    'metastore',
    'node:crypto',
    'node:fs/promises',
    'pg',
    '@aws-sdk/client-dynamodb',
    '@smithy/core/retry',
  ],
  sqs: [...FLOOR, 'async', 'connections', 'node:timers/promises', '@aws-sdk/client-sqs'],
  config: [...CORE, 'operations', 'envelope', 'maintenance', 'kms', 'metastore', 'sqs', 'valibot'],
  doors: [
    ...CORE,
    'operations',
    'envelope',
    'maintenance',
    'kms',
    'metastore',
    'sqs',
    'config',
    'node:crypto',
    'node:util',
    '@middy/',
    '@aws-lambda-powertools/',
    'aws-lambda',
    // docs/openapi.json, which the API serves.
    '..',
  ],
  cli: [
    ...CORE,
    'container.ts',
    'config',
    'operations',
    'envelope',
    'maintenance',
    'connections',
    'kms',
    'metastore',
    'rows',
    'node:path',
    'commander',
    // package.json, which contains the version.
    '..',
    ...OF_A_TERMINAL,
  ],
  cdk: ['input', 'node:fs', 'node:os', 'node:path', 'aws-cdk-lib', 'aws-cdk-lib/', 'constructs'],
  client: [
    ...CORE,
    'connections',
    'operations',
    '@aws-sdk/client-lambda',
    ...TO_SIGN,
    'node:crypto',
    'node:http',
    'node:https',
    'node:stream/consumers',
    'node:timers/promises',
  ],
  testing: [
    ...CORE,
    'envelope',
    'maintenance',
    'kms',
    'metastore',
    'node:assert/strict',
    'node:timers/promises',
    'node:util',
    'node:util/types',
  ],
  'container.ts': [...CORE, 'config', 'doors', 'envelope', 'maintenance', 'kms', 'metastore', 'quotas', 'rows', 'sqs'],
  'index.ts': [...CORE, 'envelope', 'operations', 'maintenance', 'connections', 'kms', 'metastore'],
};
const ADAPTERS =
  /new (?:AwsKms|Pkcs11Kms|VaultKms|StaticKms|DynamoDbMetastore|DynamoDbKeyTable|DynamoDbInspector|DynamoDbRows|JsonLinesRows|KmsCiphertexts|AwsKmsInspector|MemoryMetastore|MySqlMetastore|PostgresMetastore|SqsQueues)\(/;

function filesOf(folder: string): string[] {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  const files = entries.filter((e) => e.isFile() && e.name.endsWith('.ts')).map((e) => join(e.parentPath, e.name));
  expect(files).not.toEqual([]);
  return files;
}

/**
 * The static and dynamic imports of a file. An import from a folder of `src` is given as the folder's name, such as
 * `envelope`. An import from a package is given as the package's name.
 */
function importsOf(file: string): string[] {
  const specifiers = codeOf(file).matchAll(/(?:from |import |import\()'([^']+)'/g);
  return [...specifiers].map(([, specifier = '']) =>
    specifier.startsWith('.') ? homeOf(join(file, '..', specifier)) : specifier,
  );
}

/** The text of a file without its doc comments. */
function codeOf(file: string): string {
  return readFileSync(file, 'utf8').replace(/\/\*\*.*?\*\//gs, '');
}

function homeOf(file: string): string {
  return relative(join(root, 'src'), file).split(sep)[0] ?? '';
}

describe('the source code', () => {
  it.for(filesOf('src').map((file) => relative(root, file)))(
    'in %s imports only modules that its folder may import',
    (name) => {
      const file = join(root, name);
      const home = homeOf(file);
      const allowed = [home, ...(MAY_IMPORT[home] ?? [])];
      const strays = importsOf(file).filter(
        (one) => !allowed.some((a) => one === a || (a.endsWith('/') && one.startsWith(a))),
      );
      expect(strays).toEqual([]);
    },
  );

  it('has handlers that import only container.ts and modules of src/doors, and contain no conditions', () => {
    for (const file of filesOf('handlers')) {
      expect(importsOf(file).filter((home) => !['container.ts', 'doors'].includes(home))).toEqual([]);
      expect(readFileSync(file, 'utf8')).not.toMatch(/\bif\b|\?/);
    }
  });

  it('has a client that imports only types and a few listed files from the service', () => {
    for (const file of filesOf('src/client')) {
      const runs = codeOf(file).matchAll(/(?:(?:import|export) (?!type )(?:[^;]*? from )?|import\()'\.\.\/([^']+)'/g);
      expect(SHARED_WITH_CLIENT).toEqual(expect.arrayContaining([...runs].map(([, path]) => path)));
    }
  });

  it('creates adapters and reads the environment only in the few files that this test names', () => {
    const files = filesOf('src').filter((file) => homeOf(file) !== 'container.ts');
    const others = files.filter((file) => homeOf(file) !== 'testing');
    for (const file of others) expect(ADAPTERS.test(codeOf(file))).toBe(false);
    const readers = new Set([CLI_ENTRY, LIBRARY_ENTRY, join(root, 'src', 'connections', 'passing-fault.ts')]);
    const below = files.filter((file) => !readers.has(file));
    for (const file of below) expect(codeOf(file)).not.toContain('process.env');
  });

  it('of the CLI imports the container and reads the process only in the entry file', () => {
    for (const file of filesOf('src/cli').filter((f) => f !== CLI_ENTRY)) {
      expect(importsOf(file)).not.toContain('container.ts');
      expect(codeOf(file)).not.toMatch(/\bprocess\.[a-z]/);
    }
  });
});

it('no test is skipped on Linux, because CI counts a skipped test as a failure', () => {
  const skips = filesOf('test').filter((file) => /\.(?:skip|skipIf|todo)\b/.test(codeOf(file)));
  expect(skips).toEqual([]);
});
