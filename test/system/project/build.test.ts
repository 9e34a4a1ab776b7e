import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { build, type Metafile } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDynamoDb } from '../../../local/dynamodb.ts';
import { startKmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { HANDLERS } from '../../../scripts/handler-bundle.ts';
import { licenceOf, LICENCES_FILE, writeLicences } from '../../../scripts/third-party.ts';
import { startLocalApi } from '../../support/local-api.ts';
import { FAKE_DRIVER_PATH, FakeToken } from '../../support/fake-hsm/fake-token.ts';
import { StubVault } from '../../support/stub-vault.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..', '..');
/** A project in which the package is installed. */
let folder: string;
let dist: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
  const installed = join(folder, 'node_modules', 'keyfold');
  dist = join(installed, 'dist');
  await run(process.execPath, ['scripts/build.ts', dist], { cwd: root });
  await copyFile(join(root, 'package.json'), join(installed, 'package.json'));
});
afterAll(() => rm(folder, { recursive: true }));

it("a handler's bundle works without other files, and does not start without its settings", async () => {
  const invoke = `
    import { handler } from ${JSON.stringify(join(dist, 'handlers', 'api', 'index.mjs'))};
    import event from ${JSON.stringify(join(root, 'events', 'api-encrypt-iam.json'))} with { type: 'json' };
    const { statusCode } = await handler(event, { getRemainingTimeInMillis: () => 30_000 });
    console.log('status', statusCode);
    process.exit();
  `;
  const start = (env: NodeJS.ProcessEnv): Promise<{ stdout: string }> =>
    run(process.execPath, ['--input-type=module', '--eval', invoke], { cwd: folder, env: { ...process.env, ...env } });

  const [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDb('EncryptionKey', 0)]);
  const { aliasArn } = await kms.ensureKey('us-west-2', 'alias/keyfold');
  const { stdout } = await start({
    KEYFOLD_SERVICE: 'svc',
    KEYFOLD_PRODUCT: 'prod',
    KEYFOLD_KMS_KEYS: JSON.stringify({ 'us-west-2': aliasArn }),
    KEYFOLD_DYNAMODB_ENDPOINT: dynamoDb.endpoint,
    AWS_ENDPOINT_URL_KMS: kms.endpoint,
  });
  expect(stdout).toContain('status 200');
  await expect(start({})).rejects.toThrow(/- KEYFOLD_SERVICE is not set\n- KEYFOLD_PRODUCT is not set\n/);
  await Promise.all([kms.close(), dynamoDb.close()]);
});

it('the bundle for direct invocation does not start without KEYFOLD_OPERATIONS', async () => {
  const invoke = join(dist, 'handlers', 'invoke', 'index.mjs');
  const env = {
    ...process.env,
    KEYFOLD_SERVICE: 'svc',
    KEYFOLD_PRODUCT: 'prod',
    KEYFOLD_KMS_KEYS: '{"us-west-2":"arn:aws:kms:us-west-2:111122223333:alias/keyfold"}',
  };
  await expect(run(process.execPath, [invoke], { env })).rejects.toThrow(/- KEYFOLD_OPERATIONS is not set\n/);
  await run(process.execPath, [invoke], { env: { ...env, KEYFOLD_OPERATIONS: 'encrypt' } });
});

it("the client's files contain neither code that handles keys nor an SDK client", async () => {
  const texts = await closureOf(join(dist, 'client', 'index.js'));
  const sources = texts.join('\n').matchAll(/^\/\/ (?:signing:)?(src\/[\w-]+|node_modules\/(?:@[\w-]+\/)?[\w-]+)/gm);
  const homes = new Set(Array.from(sources, ([, home = '']) => home));
  const known = new Set([
    'src/async',
    'src/client',
    'src/connections',
    'src/crypto',
    'src/errors',
    'src/input',
    'src/operations',
    'src/records',
  ]);
  expect([...homes].filter((home) => !known.has(home)).toSorted()).toEqual([
    'node_modules/@aws-sdk/core',
    'node_modules/@smithy/core',
    'node_modules/@smithy/signature-v4',
    'node_modules/@smithy/types',
  ]);
});

it("the CLI's bundle starts with a Node shebang line, and runs", async () => {
  const cli = join(dist, 'cli.js');
  expect(await readFile(cli, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
  const dynamoDb = await startDynamoDb('EncryptionKey', 0);
  const args = ['keys', 'list', '--all', '--json', '--endpoint', dynamoDb.endpoint];
  expect(await run(process.execPath, [cli, ...args])).toEqual({ stdout: '[]\n', stderr: '' });
  await dynamoDb.close();
});

it('Pkcs11Kms finds its worker file in the package, both from a program and from the CLI', async () => {
  const token = new FakeToken();
  const dynamoDb = await startDynamoDb('EncryptionKey', 0);
  const program = `
    import { noDeadline } from 'keyfold/testing';
    import { Pkcs11Kms } from 'keyfold/pkcs11';
    const [library, tokenLabel] = [${JSON.stringify(token.library)}, 'production'];
    const kms = new Pkcs11Kms({ library, tokenLabel, keyLabels: ['keyfold'], pin: () => '1234' });
    console.log(Buffer.from(await kms.wrap(Buffer.alloc(32), noDeadline())).toString());
  `;
  await writeFile(join(folder, 'pin'), '1234\n');
  const env = {
    ...process.env,
    NODE_PATH: FAKE_DRIVER_PATH,
    KEYFOLD_SERVICE: 'orders',
    KEYFOLD_PRODUCT: 'shop',
    KEYFOLD_KMS: 'pkcs11',
    KEYFOLD_PKCS11_LIBRARY: token.library,
    KEYFOLD_PKCS11_TOKEN_LABEL: 'production',
    KEYFOLD_PKCS11_KEY_LABELS: 'keyfold',
    KEYFOLD_PKCS11_PIN_FILE: join(folder, 'pin'),
    KEYFOLD_DYNAMODB_ENDPOINT: dynamoDb.endpoint,
  };
  const asProgram = run(process.execPath, ['--input-type=module', '--eval', program], { cwd: folder, env });
  expect((await asProgram).stdout).toMatch(/^pkcs11:gcm:keyfold:/);
  const asCli = run(process.execPath, [join(dist, 'cli.js'), 'maintain', '--json'], { cwd: folder, env });
  expect(JSON.parse((await asCli).stdout)).toMatchObject({ created: { id: '_SK_orders_shop' } });
  await dynamoDb.close();
  token.remove();
});

describe.each([
  ['static-kms', 60],
  ['vault-kms', 126],
  ['http-client', 60],
  ['aws-kms', 400],
] as const)('the bundle of the program %s', (name, limitKiB) => {
  let world: Awaited<ReturnType<typeof startWorld>>;
  beforeAll(async () => {
    world = await startWorld(name);
  });
  afterAll(() => world.stop());

  it.each(['esm', 'cjs'] as const)(`in %s format runs and is smaller than ${limitKiB} KiB`, async (format) => {
    const outfile = join(folder, 'bundles', `${name}.${format === 'esm' ? 'mjs' : 'cjs'}`);
    const program = join(folder, `${name}.ts`);
    await copyFile(join(import.meta.dirname, 'bundles', `${name}.ts`), program);
    await build({ entryPoints: [program], outfile, format, bundle: true, minify: true, platform: 'node' });
    expect((await stat(outfile)).size).toBeLessThan(limitKiB * 1024);
    const { stdout } = await run(process.execPath, [outfile], { cwd: folder, env: { ...process.env, ...world.env } });
    expect(stdout).toBe('hello');
  });
});

/** Starts what a program needs: either a local API, or emulators of KMS and DynamoDB. */
async function startWorld(
  name: string,
): Promise<{ readonly env: NodeJS.ProcessEnv; readonly stop: () => Promise<unknown> }> {
  if (name === 'http-client') {
    const api = await startLocalApi();
    return { env: { API_ENDPOINT: api.url }, stop: () => api.stop() };
  }
  if (name === 'vault-kms') {
    const vault = await StubVault.start();
    return { env: { VAULT_ADDRESS: vault.url }, stop: () => vault.stop() };
  }
  const [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDb('EncryptionKey', 0)]);
  await kms.ensureKey('us-west-2', 'alias/keyfold');
  return {
    env: { AWS_ENDPOINT_URL_KMS: kms.endpoint, AWS_ENDPOINT_URL_DYNAMODB: dynamoDb.endpoint },
    stop: () => Promise.all([kms.close(), dynamoDb.close()]),
  };
}

/** The source of a module and of every module that it imports statically, directly or not. */
async function closureOf(entry: string): Promise<string[]> {
  const texts = new Map<string, string>();
  const pending = [entry];
  for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
    if (texts.has(file)) continue;
    const text = await readFile(file, 'utf8');
    texts.set(file, text);
    for (const [, specifier = ''] of text.matchAll(/^(?:import|} from) (?:.* from )?"(\.[^"]+)";/gm)) {
      pending.push(join(file, '..', specifier));
    }
  }
  return [...texts.values()];
}

/**
 * The packages whose code is in a folder of dist/. For a handler, this function reads their names from its source map,
 * and for other bundles, from the comments in the bundles.
 */
async function packagesOf(shipped: string): Promise<string[]> {
  const maps = join(dist, 'maps', basename(shipped));
  const [home, pattern] =
    shipped === dist ? [dist, /^\/\/ (.*node_modules\/.*)$/gm] : [maps, /"([^"]*node_modules\/[^"]*)"/g];
  const files = (await readdir(home, { recursive: true })).filter((file) => /\.(?:js|map)$/.test(file));
  const own = files.filter((file) => shipped !== dist || !/^(?:handlers|maps)\//.test(file));
  const texts = await Promise.all(own.map((file) => readFile(join(home, file), 'utf8')));
  const paths = [...texts.join('\n').matchAll(pattern)].map(([, path = '']) => path);
  const names = new Set(paths.map((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? ''));
  expect(names.size).toBeGreaterThan(5);
  return [...names];
}

describe('what the package ships', () => {
  it('contains the licence of each package that is bundled in it', async () => {
    for (const shipped of [dist, ...HANDLERS.map((name) => join(dist, 'handlers', name))]) {
      const text = await readFile(join(shipped, LICENCES_FILE), 'utf8');
      const listed = [...text.matchAll(/^(\S+) \d+\.\d+\.\d+ \([\w.-]+\)$/gm)].map(([, name = '']) => name);
      expect(listed).toEqual(expect.arrayContaining(await packagesOf(shipped)));
      expect(text).toContain('Apache License');
    }
    const ofApi = join(dist, 'handlers', 'api');
    expect(await readFile(join(ofApi, LICENCES_FILE), 'utf8')).toMatch(/^@middy\/core .*\(MIT\)$/m);
    expect(await readFile(join(ofApi, 'LICENSE'), 'utf8')).toContain('The Keyfold authors');
    expect(await readFile(join(ofApi, 'NOTICE'), 'utf8')).toContain('The Keyfold authors');
  });

  it('contains neither the IAM simulator, which is under the AGPL, nor a path of this machine', async () => {
    const files = await readdir(dist, { recursive: true, withFileTypes: true });
    for (const file of files.filter((entry) => entry.isFile() && !entry.name.endsWith('.map'))) {
      const text = await readFile(join(file.parentPath, file.name), 'utf8');
      const found = ['cloud-copilot', 'iam-simulate', root].filter((stray) => text.includes(stray));
      expect({ file: file.name, found }).toEqual({ file: file.name, found: [] });
    }
    await expect(licenceOf(join(root, 'node_modules', '@cloud-copilot', 'iam-simulate'))).rejects.toThrow(
      'is under AGPL-3.0-or-later, so no bundle may contain it',
    );
  });

  it('cannot be built if a bundled package has another version than in the lock file, or no licence text', async () => {
    const project = join(folder, 'outdated');
    const packages = ['node_modules/a', 'node_modules/@b/c', 'node_modules/a/node_modules/d'];
    for (const path of packages) {
      await mkdir(join(project, path), { recursive: true });
      await writeFile(join(project, path, 'package.json'), '{"name":"some","version":"1.0.0","license":"MIT"}');
      await writeFile(join(project, path, 'LICENSE'), 'Do what you like.');
    }
    const inputs = Object.fromEntries(packages.map((path) => [`${path}/index.js`, { bytesInOutput: 1 }]));
    const write = async (...versions: string[]): Promise<string> => {
      const locked = versions.map((version, i) => [packages[i], { version }]);
      const lock = JSON.stringify({ packages: Object.fromEntries(locked) as object });
      await writeFile(join(project, 'package-lock.json'), lock);
      await writeLicences({ inputs: {}, outputs: { 'a.js': { inputs } } } as unknown as Metafile, project, project);
      return readFile(join(project, LICENCES_FILE), 'utf8');
    };
    expect(await write('1.0.0', '1.0.0', '1.0.0')).toContain('some 1.0.0 (MIT)\n\nDo what you like.');
    await expect(write('1.0.0', '1.0.1')).rejects.toThrow(
      'do not have the versions of package-lock.json: node_modules/@b/c, node_modules/a/node_modules/d. Run npm ci.',
    );
    await rm(join(project, 'node_modules', '@b', 'c', 'LICENSE'));
    await expect(write('1.0.0', '1.0.0', '1.0.0')).rejects.toThrow('some has no licence text');
  });
});
