import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startDynamoDb } from '../../../local/dynamodb.ts';
import { startKmsEmulator } from '../../../emulators/kms/kms-emulator.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..', '..');
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
  await run(process.execPath, ['scripts/build.ts', folder], { cwd: root });
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

it("a handler's bundle handles a sample event by itself, and does not start without its settings", async () => {
  const invoke = `
    import { handler } from ${JSON.stringify(join(folder, 'handlers', 'api', 'index.mjs'))};
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

it('the bundle for direct invocation does not start without its operations', async () => {
  const invoke = join(folder, 'handlers', 'invoke', 'index.mjs');
  const env = {
    ...process.env,
    KEYFOLD_SERVICE: 'svc',
    KEYFOLD_PRODUCT: 'prod',
    KEYFOLD_KMS_KEYS: '{"us-west-2":"arn:aws:kms:us-west-2:111122223333:alias/keyfold"}',
  };
  await expect(run(process.execPath, [invoke], { env })).rejects.toThrow(/- KEYFOLD_OPERATIONS is not set\n/);
  await run(process.execPath, [invoke], { env: { ...env, KEYFOLD_OPERATIONS: 'encrypt' } });
});

it("the client's bundle contains no code that handles keys", async () => {
  const bundle = await readFile(join(folder, 'client.js'), 'utf8');
  const imports = [...bundle.matchAll(/from "([^"]+)"/g)].map(([, name]) => name);
  expect(new Set(imports)).toEqual(
    new Set([
      '@aws-sdk/client-lambda',
      '@aws-sdk/core/client',
      '@aws-sdk/credential-provider-node',
      '@smithy/core/checksum',
      '@smithy/core/retry',
      '@smithy/signature-v4',
      'node:events',
      'node:https',
      'node:module',
      'node:stream/consumers',
      'node:timers/promises',
      'node:util/types',
    ]),
  );
  expect(bundle.length).toBeLessThan(50_000);
});

it("the CLI's bundle runs with the package's dependencies, and reports the Node version that it needs", async () => {
  // Like an npm installation: inside a package of ES modules that has the dependencies.
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { dependencies: object };
  for (const name of Object.keys(dependencies)) {
    const at = join(folder, 'node_modules', name);
    await mkdir(dirname(at), { recursive: true });
    await symlink(join(root, 'node_modules', name), at);
  }
  const cli = join(folder, 'cli.js');
  expect(await readFile(cli, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
  const dynamoDb = await startDynamoDb('EncryptionKey', 0);
  const args = ['keys', 'list', '--all', '--json', '--endpoint', dynamoDb.endpoint];
  expect(await run(process.execPath, [cli, ...args])).toEqual({ stdout: '[]\n', stderr: '' });
  await dynamoDb.close();
});
