/** Tests the packed package with the compilers, bundlers and versions of Node that its users have. */
import { execFile } from 'node:child_process';
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDynamoDb } from '../../local/dynamodb.ts';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { startLocalApi } from '../support/local-api.ts';
import { installPackage, NODES, PROJECT, toolFile } from './package/install.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const BUNDLES = join(root, 'test', 'system', 'project', 'bundles');
let tarball: string;
let env: NodeJS.ProcessEnv;
let stop: () => Promise<unknown>;

beforeAll(async () => {
  tarball = await installPackage();
  const [kms, dynamoDb, api] = await Promise.all([
    startKmsEmulator(),
    startDynamoDb('EncryptionKey', 0),
    startLocalApi(),
  ]);
  await kms.ensureKey('us-west-2', 'alias/keyfold');
  env = {
    ...process.env,
    AWS_ENDPOINT_URL_KMS: kms.endpoint,
    AWS_ENDPOINT_URL_DYNAMODB: dynamoDb.endpoint,
    AWS_ENDPOINT_URL_LAMBDA: api.url,
    API_ENDPOINT: api.url,
  };
  stop = () => Promise.all([kms.close(), dynamoDb.close(), api.stop()]);
}, 600_000);
afterAll(() => stop());

/** Runs a program of the project and returns its output. */
async function outputOf(args: readonly string[], node: string = process.execPath): Promise<string> {
  const { stdout } = await run(node, args, { cwd: PROJECT, env });
  return stdout;
}

describe('the package', () => {
  it('has no problem that publint reports', async () => {
    const cli = toolFile('publint', 'src/cli.js');
    expect(await outputOf([cli, toolFile('keyfold', '.'), '--strict'])).toContain('All good!');
  });

  it('has types that resolve in the same way as its code, according to attw', async () => {
    const cli = toolFile('@arethetypeswrong/cli', 'dist/index.js');
    const output = await outputOf([cli, '--profile', 'esm-only', '--format', 'json', tarball]);
    expect(output).toContain('keyfold');
  });

  it('can be published without a warning', async () => {
    const { stderr } = await run('npm', ['publish', '--dry-run'], { cwd: root });
    const warnings = stderr.split('\n').filter((line) => line.startsWith('npm warn') && !line.includes('logged in'));
    expect(warnings).toEqual([]);
    expect(stderr).not.toMatch(/dist\/(?:handlers|maps)|src\/|test\//);
  });
});

describe.each(['typescript-5.6', 'typescript-5.9', 'typescript'])(
  'the declarations under the compiler %s',
  (compiler) => {
    it.each([
      ['node16', 'node16'],
      ['nodenext', 'nodenext'],
      ['esnext', 'bundler'],
    ])('compile without skipLibCheck, with module %s and moduleResolution %s', async (module, moduleResolution) => {
      await copyFile(join(import.meta.dirname, 'package', 'author.ts'), join(PROJECT, 'author.ts'));
      const config = join(PROJECT, `tsconfig-${compiler}-${moduleResolution}.json`);
      const options = { module, moduleResolution, target: 'es2022', strict: true, noEmit: true, types: ['node'] };
      await writeFile(config, JSON.stringify({ compilerOptions: options, files: ['author.ts'] }));
      const tsc = compiler === 'typescript' ? join(root, 'node_modules', compiler) : toolFile(compiler, '.');
      const findings = await outputOf([join(tsc, 'bin', 'tsc'), '-p', config]).catch(
        (error: { stdout: string }) => error.stdout,
      );
      expect(findings).toBe('');
    });
  },
);

describe.each(NODES)('Node %s', (version) => {
  const node = toolFile(`node-${version}`, 'bin/node');

  it('runs the package as ES modules and through require', async () => {
    expect(await outputOf(['-p', 'process.versions.node'], node)).toBe(`${version}\n`);
    for (const name of ['static-kms', 'http-client', 'aws-kms']) {
      // The programs are TypeScript files without types, so they can be copied as JavaScript.
      await copyFile(join(BUNDLES, `${name}.ts`), join(PROJECT, `${name}.mjs`));
      expect(await outputOf([`${name}.mjs`], node)).toBe('hello');
      const program = await readFile(join(BUNDLES, `${name}.ts`), 'utf8');
      await writeFile(
        join(PROJECT, `${name}.cjs`),
        program.replace(/import (.*) from (.*);/, 'const $1 = require($2);'),
      );
      expect(await outputOf(['--no-warnings', `${name}.cjs`], node)).toBe('hello');
    }
  });

  it('runs the command keyfold', async () => {
    const args = ['keys', 'list', '--service', 'orders', '--product', 'shop', '--json'];
    const rows = JSON.parse(await outputOf([toolFile('keyfold', 'dist/cli.js'), ...args], node)) as unknown;
    expect(rows).toMatchObject([{ id: '_SK_orders_shop', state: 'valid' }]);
  });
});

describe.each(['static-kms', 'http-client', 'aws-kms'])('the program %s', (name) => {
  it.each(['esm', 'cjs'])('runs after Rollup has bundled it as %s', async (format) => {
    const program = `rollup-${name}.mjs`;
    await copyFile(join(BUNDLES, `${name}.ts`), join(PROJECT, program));
    const config = join(PROJECT, 'rollup.config.mjs');
    await writeFile(
      config,
      "import { nodeResolve } from '@rollup/plugin-node-resolve';\nexport default { plugins: [nodeResolve()] };\n",
    );
    const out = join('out', `rollup-${name}.${format === 'esm' ? 'mjs' : 'cjs'}`);
    const options = ['-c', config, program, '--format', format, '--file', out, '--inlineDynamicImports', '--silent'];
    await outputOf([toolFile('rollup', 'dist/bin/rollup'), ...options]);
    expect(await outputOf([out])).toBe('hello');
  });

  it.each(['module', 'commonjs2'])('runs after webpack has bundled it as %s', async (type) => {
    const program = `webpack-${name}.mjs`;
    await copyFile(join(BUNDLES, `${name}.ts`), join(PROJECT, program));
    const filename = `webpack-${name}.${type === 'module' ? 'mjs' : 'cjs'}`;
    const build = `
      import webpack from 'webpack';
      webpack({
        mode: 'production', target: 'node20', entry: './${program}',
        experiments: { outputModule: ${type === 'module'} },
        output: { path: ${JSON.stringify(join(PROJECT, 'out'))}, filename: '${filename}', library: { type: '${type}' } },
      }, (error, stats) => {
        if (error || stats.hasErrors()) throw error ?? new Error(stats.toString());
      });`;
    await outputOf(['--input-type=module', '--eval', build]);
    expect(await outputOf([join('out', filename)])).toBe('hello');
  });
});

it('AwsKms, DynamoDbMetastore and LambdaTransport work with clients of AWS SDK 3.940, the oldest supported', async () => {
  await copyFile(join(import.meta.dirname, 'package', 'sdk-clients.ts'), join(PROJECT, 'sdk-clients.ts'));
  expect(await outputOf(['sdk-clients.ts'])).toBe('hello true hello');
  await rm(tarball);
});
