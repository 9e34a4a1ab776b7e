import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { installPython, pythonOf } from '../../test/peers/install.ts';
import { PEERS_FOLDER } from '../../test/peers/peers-folder.ts';
import { AWS_ENVIRONMENT, end } from '../../test/peers/processes.ts';
import type { Lap, RemoteTask } from '../compare.ts';
import type { ContestantName } from './contestant.ts';

const run = promisify(execFile);

/** A contestant in its own process. The contestant times itself, and receives its commands over a pipe. */
export interface ContestantProcess {
  /** The tasks that encrypt and decrypt the last payload sent. */
  readonly encrypt: RemoteTask;
  readonly decrypt: RemoteTask;
  /** Sends a payload. Resolves after the contestant has encrypted and decrypted it once. */
  take(plaintext: Buffer): Promise<void>;
  readonly stop: () => Promise<void>;
}

/**
 * Starts a contestant in its own process, so that its time does not include collecting another contestant's garbage.
 * @throws Error if the contestant cannot be installed
 */
export async function startContestant(name: ContestantName): Promise<ContestantProcess> {
  const [command, ...args] = await commandOf(name);
  const env = { ...AWS_ENVIRONMENT, PATH: process.env['PATH'] };
  const child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const endOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', endOnExit);

  const send = async (order: object): Promise<Lap> => {
    child.stdin.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`the contestant ${name} has exited`);
    return JSON.parse(value) as Lap;
  };
  return {
    encrypt: { time: (runs) => send({ operation: 'encrypt', runs }) },
    decrypt: { time: (runs) => send({ operation: 'decrypt', runs }) },
    take: async (plaintext) => void (await send({ payload: plaintext.toString('base64') })),
    stop: async () => {
      process.off('exit', endOnExit);
      await end(child);
    },
  };
}

/** Whether this machine can run a contestant. Asherah's Rust crate needs a Rust toolchain, because it is built here. */
export async function canHave(name: ContestantName): Promise<boolean> {
  if (name !== 'Asherah Rust crate') return true;
  return run('cargo', ['--version']).then(
    () => true,
    () => false,
  );
}

/** Builds Asherah's crate, which takes about four minutes on two cores the first time. @returns the command to run */
async function buildCrate(): Promise<string> {
  const manifest = join(import.meta.dirname, 'asherah-crate', 'Cargo.toml');
  const target = join(PEERS_FOLDER, 'asherah-crate');
  const options = ['--quiet', '--locked', '--release', '--manifest-path', manifest, '--target-dir', target];
  await run('cargo', ['build', ...options]);
  return join(target, 'release', 'asherah-worker');
}

async function commandOf(name: ContestantName): Promise<[string, ...string[]]> {
  if (name === 'Asherah Rust crate') return [await buildCrate()];
  const core = ({ 'Asherah Rust': 'rust', 'Asherah Go': 'go' } as const)[name as string];
  if (core === undefined) return [process.execPath, join(import.meta.dirname, 'worker.ts'), name];
  await installPython(`asherah-${core}`);
  return [pythonOf(`asherah-${core}`), join(import.meta.dirname, 'asherah_worker.py'), core];
}
