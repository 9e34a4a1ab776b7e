import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './documents.ts';

/** How a command's process has ended. */
export interface Ended {
  readonly code: number | null;
  readonly by: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A server or proxy to which a command sends its writes. It calls `onWrite` when it receives a write, before it carries
 * out the write.
 */
export interface Watched {
  onWrite: () => void;
}

/** Runs `keyfold` in a process. */
export async function runCommand(
  args: readonly string[],
  options: { readonly env: NodeJS.ProcessEnv; readonly cwd: string },
  started: (kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, [join(ROOT, 'src', 'cli', 'main.ts'), ...args], options);
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk: Buffer) => (said[name] += chunk.toString()));
  started((signal) => void child.kill(signal));
  const [code, by] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { code, by, ...said };
}

/** Runs `keyfold` in a process. Sends the process a signal when the process sends its tenth write. */
export function runInterrupted(
  args: readonly string[],
  options: Parameters<typeof runCommand>[1],
  signal: NodeJS.Signals,
  watched: Watched,
): Promise<Ended> {
  let writes = 0;
  return runCommand(args, options, (kill) => {
    watched.onWrite = () => {
      writes += 1;
      if (writes === 10) kill(signal);
    };
  }).finally(() => (watched.onWrite = () => {}));
}

/** The lines of an audit file. */
export async function auditOf(file: string): Promise<Record<string, unknown>[]> {
  if (!existsSync(file)) return [];
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}
