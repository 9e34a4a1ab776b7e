import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import { expect, it } from 'vitest';

const region = 'us-west-2';
const credentials = { accessKeyId: 'local', secretAccessKey: 'x' };

it.for([
  [
    'kms',
    'SIGINT',
    (endpoint: string) => new KMSClient({ endpoint, region, credentials }).send(new CreateKeyCommand({})),
  ],
  [
    'sqs',
    'SIGTERM',
    (endpoint: string) =>
      new SQSClient({ endpoint, region, credentials }).send(new CreateQueueCommand({ QueueName: 'q' })),
  ],
] as const)(
  'emulators/%s/main.ts prints its endpoint, responds to a call, and exits on %s',
  async ([name, signal, call]) => {
    const file = join(import.meta.dirname, '..', '..', '..', 'emulators', name, 'main.ts');
    const child = spawn(process.execPath, [file, '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    const [printed] = (await once(child.stdout, 'data')) as [Buffer];
    const answer = await call(printed.toString().trim()).finally(() => child.kill(signal));
    expect(answer.$metadata.httpStatusCode).toBe(200);
    expect(await ended).toEqual([0, null]);
  },
);

it.for(['65536', '100000', '000080', '0x10', '-1', '80a', ''])(
  'an emulator refuses to start on port %s',
  async (port) => {
    const file = join(import.meta.dirname, '..', '..', '..', 'emulators', 'sqs', 'main.ts');
    const child = spawn(process.execPath, [file, `--port=${port}`], { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = once(child, 'exit');
    const [told] = (await once(child.stderr, 'data')) as [Buffer];
    child.kill('SIGKILL');
    expect(told.toString()).toContain('--port must be a port from 0 to 65535');
    await ended;
  },
);

/** Whether a process on this machine listens on the port. */
async function isInUse(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  const isOpen = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return isOpen;
}

it.for([
  ['kms', 8081],
  ['sqs', 8083],
] as const)('emulators/%s/main.ts listens on port %i by default if the port is free', async ([name, port]) => {
  const wasInUse = await isInUse(port);
  const file = join(import.meta.dirname, '..', '..', '..', 'emulators', name, 'main.ts');
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const [printed] = (await once(child.stdout, 'data')) as [Buffer];
  const isFree = !wasInUse && printed.toString() !== `http://127.0.0.1:${port}\n` && !(await isInUse(port));
  child.kill('SIGTERM');
  await ended;
  expect(isFree).toBe(false);
});
