/** Tests what a command leaves behind if a signal or a full disk interrupts it. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeDataRowRecord } from '../../../src/index.ts';
import { HealthyService } from '../../support/healthy-service.ts';

const MAIN = join(import.meta.dirname, '..', '..', '..', 'src', 'cli', 'main.ts');

let folder: string;
let world: HealthyService;
let rows: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  world = await HealthyService.start();
  const record = encodeDataRowRecord(await world.sessions().session('tenant-1').encrypt(Buffer.from('x')));
  rows = `${record}\n`.repeat(3000);
  env = { ...process.env, ...world.operator.settings(), ...world.settings, AWS_REGION: 'us-west-2' };
});
afterAll(() => world.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-interrupt-'));
  await writeFile(join(folder, 'rows'), rows);
});
afterEach(() => rm(folder, { recursive: true }));

const REWRAP = 'reencrypt rows --verb rewrap --quarantine quarantine --output output --audit-file audit'.split(' ');

/** Runs `keyfold reencrypt`, and sends it a signal once its output file has some content. */
async function interrupted(signal: NodeJS.Signals, ...options: string[]): Promise<unknown> {
  const child = spawn(process.execPath, [MAIN, ...REWRAP, ...options], { env, cwd: folder });
  const ended = once(child, 'exit');
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const isBegun = async (): Promise<boolean> => {
    const names = await readdir(folder);
    return names.includes('checkpoint') || (!options.includes('--checkpoint') && names.some(isPartial));
  };
  while (!(await isBegun())) await setTimeout(20);
  await setTimeout(options.includes('--checkpoint') ? 0 : 2500);
  child.kill(signal);
  const [code, by] = (await ended) as [number | null, string | null];
  return { code, by, stderr };
}

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(file: string, args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(file, args, { env, cwd: folder }, (error, stdout, stderr) =>
      resolve({ status: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}

const isPartial = (name: string): boolean => name.endsWith('.partial');

async function outcomes(): Promise<unknown[]> {
  const lines = (await readFile(join(folder, 'audit'), 'utf8')).trim().split('\n');
  return lines.map((line) => (JSON.parse(line) as { outcome: string }).outcome);
}

describe('keyfold reencrypt, ended by a signal,', { timeout: 120_000 }, () => {
  it.for(['SIGINT', 'SIGTERM'] as const)('leaves no output behind if there is no checkpoint (%s)', async (signal) => {
    const stderr = `keyfold: ${signal} ended the run.\n`;
    expect(await interrupted(signal, '--rate', '300')).toEqual({ code: null, by: signal, stderr });
    expect((await readdir(folder)).toSorted()).toEqual(['audit', 'quarantine', 'rows']);
    expect(await outcomes()).toEqual(['attempting', 'failed']);
  });

  it('keeps its checkpoint, from which the next run continues and completes the output', async () => {
    await interrupted('SIGINT', '--rate', '300', '--checkpoint', 'checkpoint');
    expect((await readdir(folder)).filter(isPartial)).toHaveLength(1);
    const options = [...REWRAP, '--checkpoint', 'checkpoint', '--json'];
    const { status, stdout } = await run(process.execPath, [MAIN, ...options]);
    expect({ status, report: JSON.parse(stdout) as unknown }).toMatchObject({ status: 0, report: { rows: 3000 } });
    expect(await readFile(join(folder, 'output'), 'utf8')).toBe(rows);
    expect((await readdir(folder)).toSorted()).toEqual(['audit', 'output', 'quarantine', 'rows']);
    expect(await outcomes()).toEqual(['attempting', 'failed', 'attempting', 'done']);
  });
});

it('keyfold reencrypt names the output file if a write to that file fails, and leaves no part of the file behind', async () => {
  const limited = 'ulimit -f 100; exec "$0" "$@"';
  const { status, stderr } = await run('sh', ['-c', limited, process.execPath, MAIN, ...REWRAP]);
  expect({ status, stderr }).toEqual({ status: 1, stderr: 'keyfold: The file output cannot be written: EFBIG.\n' });
  expect((await readdir(folder)).toSorted()).toEqual(['audit', 'quarantine', 'rows']);
  expect(await outcomes()).toEqual(['attempting', 'failed']);
});

/** Runs `keyfold keys list` with options and redirections of a shell. */
function shell(redirection: string): Promise<Ended> {
  return run('sh', ['-c', `exec "$0" "$1" keys list ${redirection}`, process.execPath, MAIN]);
}

it.runIf(process.platform === 'linux')(
  'a command fails if it cannot print its output because the disk is full',
  async () => {
    const stderr = 'keyfold: standard output cannot be written: ENOSPC\n';
    expect(await shell('> /dev/full')).toEqual({ status: 1, stdout: '', stderr });
    expect(await shell('2> /dev/full')).toMatchObject({ status: 0, stderr: '' });
    // The note that there are no rows goes to standard error.
    expect(await shell('--partition none 2> /dev/full')).toEqual({ status: 1, stdout: '', stderr: '' });
  },
);
