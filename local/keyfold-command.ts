/** Runs `keyfold` commands for the page. Like a handler, it runs in a worker with its own environment variables. */
import { Readable } from 'node:stream';
import { runCli } from '../src/cli/program.ts';
import { operatorAdapters } from '../src/container.ts';

/** One run of the command. */
export interface CommandEvent {
  readonly args: readonly string[];
  /** The earliest time that the command's clock may show, in milliseconds since 1970. */
  readonly notBeforeMs?: number;
}

/** What the command printed, and its exit code. */
export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function handler({ args, notBeforeMs = 0 }: CommandEvent): Promise<CommandResult> {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const aheadMs = Math.max(0, notBeforeMs - Date.now());
  const exitCode = await runCli(args, {
    ...operatorAdapters,
    environment: process.env,
    stdin: Readable.from([]),
    terminal: { out: (text) => void stdout.push(text), err: (text) => void stderr.push(text) },
    caller: { user: 'page', host: 'npm start' },
    now: () => Date.now() + aheadMs,
    version: 'local',
  });
  return { exitCode, stdout: stdout.join('\n'), stderr: stderr.join('\n') };
}
