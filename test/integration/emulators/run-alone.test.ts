import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import { expect, it } from 'vitest';

const region = 'us-west-2';
const credentials = { accessKeyId: 'local', secretAccessKey: 'x' };

it.for([
  ['kms', (endpoint: string) => new KMSClient({ endpoint, region, credentials }).send(new CreateKeyCommand({}))],
  [
    'sqs',
    (endpoint: string) =>
      new SQSClient({ endpoint, region, credentials }).send(new CreateQueueCommand({ QueueName: 'q' })),
  ],
] as const)(
  'emulators/%s/main.ts prints its endpoint, responds to a call, and exits on SIGTERM',
  async ([name, call]) => {
    const file = join(import.meta.dirname, '..', '..', '..', 'emulators', name, 'main.ts');
    const child = spawn(process.execPath, [file, '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    const [printed] = (await once(child.stdout, 'data')) as [Buffer];
    const answer = await call(printed.toString().trim()).finally(() => child.kill('SIGTERM'));
    expect(answer.$metadata.httpStatusCode).toBe(200);
    expect(await ended).toEqual([0, null]);
  },
);

it.for(['65536', '0x10', '-1'])('an emulator refuses to start on port %s', async (port) => {
  const file = join(import.meta.dirname, '..', '..', '..', 'emulators', 'sqs', 'main.ts');
  const child = spawn(process.execPath, [file, `--port=${port}`], { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'exit');
  const [told] = (await once(child.stderr, 'data')) as [Buffer];
  child.kill('SIGKILL');
  expect(told.toString()).toContain('--port must be a port from 0 to 65535');
  await ended;
});
