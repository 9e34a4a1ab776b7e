import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { installPython, pythonOf } from '../../test/peers/install.ts';
import { AWS_ENVIRONMENT, end } from '../../test/peers/processes.ts';
import type { Lap } from '../compare.ts';
import type { Contestant } from './contestant.ts';

const NAMES = { go: 'Asherah Go', rust: 'Asherah Rust' } as const;

/** One of Asherah's native cores in a Python process, which times it there and takes turns with us over a pipe. */
export async function asherah(core: 'go' | 'rust'): Promise<Contestant> {
  await installPython(`asherah-${core}`);
  const env = { PATH: process.env['PATH'], ...AWS_ENVIRONMENT };
  const script = join(import.meta.dirname, 'asherah_contestant.py');
  const child = spawn(pythonOf(`asherah-${core}`), [script, core], { env, stdio: ['pipe', 'pipe', 'ignore'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  process.once('exit', () => child.kill('SIGKILL'));

  const ask = async (command: object): Promise<Lap> => {
    child.stdin.write(`${JSON.stringify(command)}\n`);
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${NAMES[core]} has ended`);
    return JSON.parse(value) as Lap;
  };
  return {
    name: NAMES[core],
    enter: async (plaintext) => {
      await ask({ payload: plaintext.toString('base64') });
      return {
        encrypt: { time: (runs) => ask({ operation: 'encrypt', runs }) },
        decrypt: { time: (runs) => ask({ operation: 'decrypt', runs }) },
      };
    },
    close: () => end(child),
  };
}
