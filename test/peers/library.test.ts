import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { startDynamoDb } from '../../local/dynamodb.ts';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { PEERS_FOLDER } from './peers-folder.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

it("a project that installs the package type-checks the documents' examples, and runs the README's example and the CLI", async () => {
  const readme = await readFile(join(root, 'README.md'), 'utf8');
  const [, example = ''] = /library\.test\.ts.*?```ts\n(.*?)```/s.exec(readme) ?? [];
  expect(example).toContain("from 'keyfold'");

  const folder = join(PEERS_FOLDER, 'library');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await run('npm', ['run', '--silent', 'build'], { cwd: root });
  const packed = await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: root });
  const tarball = packed.stdout.trim().split('\n').at(-1) ?? '';
  await writeFile(join(folder, 'package.json'), '{"private":true,"type":"module"}');
  await writeFile(join(folder, 'example.ts'), example);
  const docs = await readFile(join(root, 'docs', 'client.md'), 'utf8');
  const [, clientExample = ''] = /```ts\n(.*?)```/s.exec(docs) ?? [];
  await writeFile(join(folder, 'client.ts'), clientExample);
  await run('npm', ['install', '--no-audit', '--no-fund', join(folder, tarball)], { cwd: folder });

  const brought = await readdir(join(folder, 'node_modules'));
  expect(brought).toContain('keyfold');
  expect(brought.filter((name) => /^(?:pinned-)?node\b/.test(name))).toEqual([]);

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
  await run(tsc, [...options, 'example.ts', 'client.ts'], { cwd: folder });

  const [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDb('EncryptionKey', 0)]);
  for (const region of ['us-west-2', 'us-east-1']) await kms.ensureKey(region, 'alias/keyfold');
  const env = { ...process.env, AWS_ENDPOINT_URL_KMS: kms.endpoint, AWS_ENDPOINT_URL_DYNAMODB: dynamoDb.endpoint };
  const { stdout } = await run(process.execPath, ['example.ts'], { cwd: folder, env });
  expect(stdout).toBe('hello\n');
  const keyfold = join(folder, 'node_modules', '.bin', 'keyfold');
  const listed = await run(keyfold, ['keys', 'list', '--service', 'orders', '--product', 'shop', '--json'], { env });
  expect(JSON.parse(listed.stdout)).toMatchObject([{ id: '_SK_orders_shop', state: 'valid' }]);
  await Promise.all([kms.close(), dynamoDb.close()]);
});
