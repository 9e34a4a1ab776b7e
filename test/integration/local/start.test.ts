import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { takeDataFolder } from '../../../local/data-folder.ts';
import { close, freePort, listen } from '../../../emulators/listen.ts';
import { readStartOptions } from '../../../local/start-options.ts';
import {
  commandOf,
  paste,
  startLocalProcess,
  stopLocalProcess,
  type LocalProcess,
} from '../../support/local-process.ts';

describe('npm start without options', () => {
  let world: LocalProcess;
  beforeAll(async () => {
    world = await startLocalProcess();
  });
  afterAll(() => stopLocalProcess(world));

  // Runs first, because its first request must find a region down.
  it('POST /local/maintenance runs the daily maintenance', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
    const { greeting, url } = world;
    const [, kms = ''] = /KMS +(\S+)/.exec(greeting) ?? [];
    await fetch(`${kms}/regions/us-east-1/fault`, { method: 'PUT', body: '{"kind":"down"}' });
    await paste(commandOf(greeting, 1), folder);
    await fetch(`${kms}/faults`, { method: 'DELETE' });
    const report = await (await fetch(`${url}/local/maintenance`, { method: 'POST' })).json();
    expect(report).toMatchObject({
      systemKeys: [
        {
          id: '_SK_local_keyfold',
          state: 'valid',
          regions: [
            { region: 'us-west-2', opens: true, renewed: false },
            { region: 'us-east-1', opens: true, renewed: true },
          ],
        },
      ],
    });
    await rm(folder, { recursive: true });
  });

  it('the curl commands that npm start prints can encrypt, and can decrypt even while a region is down', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
    const { greeting } = world;
    expect(await paste(commandOf(greeting, 1), folder)).toMatch(/^\{"record":\{"Key":/);
    expect(await paste(commandOf(greeting, 2), folder)).toBe('{"plaintext":"aGVsbG8="}');
    expect(await paste(commandOf(greeting, 3), folder)).toBe('');
    expect(await paste(commandOf(greeting, 2), folder)).toBe('{"plaintext":"aGVsbG8="}');
    const [, health = ''] = /health: (\S+)\)/.exec(greeting) ?? [];
    expect(await (await fetch(health)).json()).toMatchObject({
      kms: [
        { region: 'us-west-2', state: 'unavailable' },
        { region: 'us-east-1', state: 'ok' },
      ],
      metastore: { state: 'ok' },
    });
    await paste(commandOf(greeting, 4), folder);
    await fetch(new URL('/local/cold-start', health), { method: 'POST' });
    expect(await paste(commandOf(greeting, 2), folder)).toBe('{"plaintext":"aGVsbG8="}');
    expect(await (await fetch(health)).json()).toMatchObject({
      kms: [{ region: 'us-west-2', state: 'ok' }, { region: 'us-east-1' }],
    });
    await rm(folder, { recursive: true });
  });

  it("one function decrypts another function's records when both are invoked through Lambda's Invoke API", async () => {
    const { greeting } = world;
    const [, endpoint = ''] = /Lambda +(\S+)/.exec(greeting) ?? [];
    const lambda = new LambdaClient({ endpoint, maxAttempts: 1 });
    const invoke = async (FunctionName: string, event: object): Promise<object> => {
      const answer = await lambda.send(new InvokeCommand({ FunctionName, Payload: JSON.stringify(event) }));
      return JSON.parse(answer.Payload?.transformToString() ?? '') as object;
    };
    const about = { partition: 'tenant-1' };
    const sealed = await invoke('keyfold-seal', { operation: 'encrypt', ...about, plaintext: 'aGVsbG8=' });
    await fetch(`${endpoint}/local/cold-start`, { method: 'POST' });
    const opened = await invoke('keyfold-open', { operation: 'decrypt', ...about, ...sealed });
    expect(opened).toEqual({ plaintext: 'aGVsbG8=' });
    expect(await invoke('keyfold-seal', { operation: 'decrypt', ...about, ...sealed })).toMatchObject({
      errorType: 'Forbidden',
    });
    lambda.destroy();
  });

  it('the result for a message in the input queue arrives in the output queue', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
    const { greeting } = world;
    const answer = JSON.parse(await paste(commandOf(greeting, 5), folder)) as { Messages: { Body: string }[] };
    expect(answer.Messages[0]?.Body).toMatch(/^\{"document":\{"name":"Ada","card":"kf1j\./);
    await rm(folder, { recursive: true });
  });
});

it('a data folder cannot be a file, and cannot be inside a file', async () => {
  const file = join(import.meta.dirname, 'start.test.ts');
  for (const [folder, code] of [
    [file, 'EEXIST'],
    [join(file, 'data'), 'ENOTDIR'],
  ] as const)
    await expect(takeDataFolder(folder)).rejects.toMatchObject({
      message: `--data must name a folder, but ${folder} is a file or inside a file`,
      cause: { code },
    });
});

it('only the owner of a data folder can read it, and the folder can be used again after its release', async () => {
  const above = await mkdtemp(join(tmpdir(), 'keyfold-'));
  const folder = join(above, 'data');
  for (let i = 0; i < 2; i += 1) {
    const { release } = await takeDataFolder(folder);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    await release();
  }
  await rm(above, { recursive: true });
});

it.for([
  ['a port that is not a number', ['--port', 'x'], '--port must be a port from 0 to 65535'],
  ['a port above 65535', ['--sqs-port', '65536'], '--sqs-port must be a port from 0 to 65535'],
  ['an empty port', ['--kms-port='], '--kms-port must be a port from 0 to 65535'],
  ['an empty folder name', ['--data='], '--data must name a folder'],
  ['an unknown KMS', ['--kms', 'gcp'], '--kms must be aws or vault'],
  [
    'a data folder with Vault',
    ['--kms', 'vault', '--data', 'trial'],
    '--kms vault allows no --data: OpenBao keeps its keys in memory, so nothing could open kept tables',
  ],
  ['a port with leading zeros', ['--dynamodb-port', '000080'], '--dynamodb-port must be a port from 0 to 65535'],
  ['an unknown option', ['--colour', 'red'], "Unknown option '--colour'"],
] as const)('npm start refuses %s, and prints the reason', ([, args, reason]) => {
  expect(() => readStartOptions([...args])).toThrow(reason);
});

it('the options of npm start have the values of the command line, or the defaults that --help names', () => {
  const ports = { port: 8080, kmsPort: 8081, dynamoDbPort: 8082, sqsPort: 8083 };
  const defaults = { ...ports, kms: 'aws', data: undefined, verbose: false, help: false };
  expect(readStartOptions([])).toEqual(defaults);
  expect(readStartOptions(['--kms', 'aws', '--port', '65535'])).toEqual({ ...defaults, port: 65_535 });
  expect(readStartOptions(['--kms', 'vault', '--verbose', '--help'])).toEqual({
    ...defaults,
    kms: 'vault',
    verbose: true,
    help: true,
  });
  expect(readStartOptions(['--data', 'trial'])).toEqual({ ...defaults, data: 'trial' });
});

it('npm start -- --help prints only the options', async () => {
  const printed = vi.spyOn(console, 'log').mockImplementation(() => {});
  const { argv } = process;
  process.argv = ['node', 'start.ts', '--help'];
  await import('../../../local/start.ts').finally(() => (process.argv = argv));
  expect(printed.mock.calls.flat().join('\n').split('\n')).toEqual([
    'npm start -- [--port 8080] [--kms-port 8081] [--dynamodb-port 8082] [--sqs-port 8083] [--kms aws|vault] [--data DIR] [--verbose]',
    'A port that is in use is replaced by a free one. --data keeps tables and keys in DIR across restarts; only one process can use DIR at a time.',
    "--kms vault runs OpenBao instead of the KMS emulator. It needs OpenBao's program bao on the PATH, and allows no --data.",
    "The terminal shows one line per request. --verbose also shows the functions' logs and metrics as JSON.",
  ]);
  printed.mockRestore();
});

it('npm start uses the given ports, and a free port if a given port is in use, and shows its addresses and commands to try', async ({
  onTestFinished,
}) => {
  const taken = createServer();
  const port = await listen(taken, 0);
  const ports = await Promise.all(Array.from({ length: 3 }, freePort));
  const options = ['--kms-port', '--dynamodb-port', '--sqs-port'].flatMap((name, i) => [name, String(ports[i])]);
  const world = await startLocalProcess('--port', String(port), ...options);
  onTestFinished(() => stopLocalProcess(world));
  const [kms, dynamoDb, sqs] = ports.map((one) => `http://127.0.0.1:${one}`);
  const { url: api } = world;
  const curl = `curl -s -H 'content-type: application/json' ${api}/v1/partitions/tenant-1`;
  const message = '{"partition":"tenant-1","document":{"name":"Ada","card":"4111 1111 1111 1111"},"fields":["$.card"]}';
  expect(world.greeting.split('\n')).toEqual([
    '',
    'Keyfold runs on this machine alone:',
    `  Page       ${api}/   open it in a browser`,
    `  API        ${api}   (health: ${api}/v1/health)`,
    `  Lambda     ${api}   its Invoke API, for keyfold-seal and keyfold-open (--endpoint-url)`,
    `  KMS        ${kms}   emulated, in us-west-2 and us-east-1; us-west-2 is preferred`,
    `  DynamoDB   ${dynamoDb}   emulated, table EncryptionKey`,
    `  SQS        ${sqs}   emulated, queues keyfold-input, keyfold-output, keyfold-dead-letters; in memory`,
    '  Keys and tables are in memory: what you encrypt is lost when this stops (--data DIR keeps them).',
    '',
    '1. Encrypt "hello":',
    `   ${curl}/encrypt -d '{"plaintext":"aGVsbG8="}' | tee record.json`,
    '2. Decrypt it:',
    `   ${curl}/decrypt -d @record.json`,
    '3. Take the preferred region down and start cold; then decrypt again:',
    `   curl -s -X PUT ${kms}/regions/us-west-2/fault -d '{"kind":"down"}' && curl -s -X POST ${api}/local/cold-start`,
    '4. Bring the region back:',
    `   curl -s -X DELETE ${kms}/regions/us-west-2/fault`,
    `5. Post to the queue, and read the result (the AWS CLI does it too, with --endpoint-url ${sqs}):`,
    `   curl -s ${sqs}/111122223333/keyfold-input -d 'Action=SendMessage&MessageBody=${message}' && ` +
      `curl -s '${sqs}/111122223333/keyfold-output?Action=ReceiveMessage&WaitTimeSeconds=10'`,
    '',
    "Each request shows as a line here (--verbose: the functions' logs and metrics, too).",
    '',
    '',
  ]);
  expect(world.greeting).not.toContain(`127.0.0.1:${port}/`);
  await close(taken);
});
