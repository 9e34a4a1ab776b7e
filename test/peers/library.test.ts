import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { startDynamoDb } from '../../local/dynamodb.ts';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { codeBlocksOf } from '../support/documents.ts';
import { PEERS_FOLDER } from './peers-folder.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

/** The first TypeScript block in a document. */
function exampleOf(file: string): string {
  return codeBlocksOf(file).find(({ language }) => language === 'ts')?.code ?? '';
}

it('a project that installs the package can compile the documented examples, and run the CLI', async () => {
  const examples = {
    'readme.ts': exampleOf('README.md'),
    'example.ts': exampleOf('docs/how-to/use-the-library.md'),
    'client.ts': exampleOf('docs/reference/client.md'),
    'cdk.ts': exampleOf('docs/how-to/deploy-with-the-cdk.md'),
  };
  for (const example of Object.values(examples)) expect(example).toContain("from 'keyfold");

  const folder = join(PEERS_FOLDER, 'library');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await run('npm', ['run', '--silent', 'build'], { cwd: root });
  const packed = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root });
  const tarball = packed.stdout.trim().split('\n').at(-1) ?? '';
  await writeFile(join(folder, 'package.json'), '{"private":true,"type":"module"}');
  for (const [file, example] of Object.entries(examples)) await writeFile(join(folder, file), example);
  await run('npm', ['install', '--no-audit', '--no-fund', join(folder, tarball)], { cwd: folder });

  const brought = await readdir(join(folder, 'node_modules'));
  expect(brought).toContain('keyfold');
  expect(brought.filter((name) => /^(?:pinned-)?node\b|^aws-cdk-lib$|^constructs$/.test(name))).toEqual([]);

  // Add the CDK, which users of keyfold/cdk install themselves.
  for (const name of ['aws-cdk-lib', 'constructs']) {
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  const types = ['--typeRoots', join(root, 'node_modules', '@types'), '--types', 'node'];
  const options = [
    '--ignoreConfig',
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2024',
    '--skipLibCheck',
    ...types,
  ];
  await run(tsc, [...options, ...Object.keys(examples)], { cwd: folder });

  const [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDb('EncryptionKey', 0)]);
  for (const region of ['us-west-2', 'us-east-1']) await kms.ensureKey(region, 'alias/keyfold');
  const env = { ...process.env, AWS_ENDPOINT_URL_KMS: kms.endpoint, AWS_ENDPOINT_URL_DYNAMODB: dynamoDb.endpoint };
  for (const file of ['readme.ts', 'example.ts']) {
    const { stdout } = await run(process.execPath, [file], { cwd: folder, env });
    expect(stdout).toBe('hello\n');
  }
  const keyfold = join(folder, 'node_modules', '.bin', 'keyfold');
  const listed = await run(keyfold, ['keys', 'list', '--service', 'orders', '--product', 'shop', '--json'], { env });
  expect(JSON.parse(listed.stdout)).toMatchObject([{ id: '_SK_orders_shop', state: 'valid' }]);
  await Promise.all([kms.close(), dynamoDb.close()]);

  const deployFile = join(root, 'deploy.example.yml');
  await run(process.execPath, ['scripts/package.ts'], { cwd: root, env: { ...env, KEYFOLD_DEPLOY_FILE: deployFile } });
  const cdk = examples['cdk.ts'].replace('../keyfold/', `${root}/`);
  await writeFile(join(folder, 'cdk.ts'), cdk);
  const out = join(folder, 'cdk.out');
  await run(process.execPath, ['cdk.ts'], { cwd: folder, env: { ...env, CDK_OUTDIR: out } });
  const { artifacts } = JSON.parse(await readFile(join(out, 'manifest.json'), 'utf8')) as { artifacts: object };
  expect(Object.keys(artifacts)).toEqual(expect.arrayContaining(['keyfold-us-west-2', 'keyfold-us-east-1']));
});
