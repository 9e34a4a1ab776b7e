import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { startDynamoDb } from '../local/dynamodb.ts';
import { startKmsEmulator } from '../local/kms-emulator/kms-emulator.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');

it("the handler's bundle runs by itself on a sample event, and refuses to start without its settings", async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
  await run(process.execPath, ['scripts/build.ts', folder], { cwd: root });
  const invoke = `
    import { handler } from ${JSON.stringify(join(folder, 'handlers', 'api.mjs'))};
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
  await Promise.all([kms.close(), dynamoDb.close(), rm(folder, { recursive: true })]);
});
