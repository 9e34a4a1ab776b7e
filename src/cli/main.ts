#!/usr/bin/env node
/** Entry of the `keyfold` command, which docs/reference/cli.md describes. Only this file of the CLI uses `process`. */
import { once } from 'node:events';
import { hostname, userInfo } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';
import packageJson from '../../package.json' with { type: 'json' };
import { operatorAdapters } from '../container.ts';
import { EXIT, type Colour } from './dependencies.ts';
import { runCli } from './program.ts';

/**
 * Returns the name of the user. If the system has no name for the user, as in some containers, returns the user's
 * number.
 */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

/**
 * Asks a question on standard error, because standard output is for the command's output. Returns an empty string if
 * the operator presses Ctrl+C or Ctrl+D.
 */
async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // If the input closes, older versions of Node never settle the question, and newer versions reject it.
  const closed = once(lines, 'close').then(() => '');
  try {
    return await Promise.race([lines.question(question), closed]).catch(() => '');
  } finally {
    lines.close();
  }
}

function codeOf({ code = 'unknown' }: NodeJS.ErrnoException): string {
  return code;
}

/**
 * Writes an audit line. If the line cannot be written, for example because no process reads the pipe, the command must
 * stop. No key may change without an audit line.
 */
function audit(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stderr.write(`${line}\n`, (error) => {
      if (error instanceof Error) reject(new Error(`The audit line cannot be written: ${codeOf(error)}.`));
      else resolve();
    });
  });
}

/** Colours a string if standard output is a terminal and the environment does not have `NO_COLOR`. */
function coloured(text: string, colour: Colour): string {
  return styleText(colour, text, { stream: process.stdout });
}

/** The signal that has interrupted a command. */
let interruption: NodeJS.Signals | undefined;

function onInterrupt(stop: (signal: string) => void): () => void {
  const listener = (signal: NodeJS.Signals): void => {
    interruption = signal;
    // Restore the default behaviour, so that a second signal ends the process immediately.
    release();
    stop(signal);
  };
  const release = (): void => SIGNALS.forEach((signal) => void process.off(signal, listener));
  for (const signal of SIGNALS) process.on(signal, listener);
  return release;
}
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

let isLost = false;
for (const [name, stream] of [
  ['output', process.stdout],
  ['error', process.stderr],
] as const) {
  stream.on('error', (error) => {
    const code = codeOf(error);
    // Ignore a closed pipe (`| head -1`), so that the command finishes its work. If output is lost for another reason,
    // such as a full disk, set the exit code, so that a script notices.
    if (code === 'EPIPE' || isLost) return;
    isLost = true;
    process.exitCode ||= EXIT.failed;
    process.stderr.write(`keyfold: standard ${name} cannot be written: ${code}\n`);
  });
}

const exitCode = await runCli(process.argv.slice(2), {
  environment: process.env,
  stdin: process.stdin,
  terminal: {
    out: (text, colour) => void process.stdout.write(`${colour === undefined ? text : coloured(text, colour)}\n`),
    err: (text) => void process.stderr.write(`${text}\n`),
    audit,
    status: process.stderr.isTTY ? (text) => void process.stderr.write(`\r\x1b[K${text}`) : undefined,
    ask: process.stdin.isTTY ? ask : undefined,
  },
  caller: { user: userName(), host: hostname() },
  now: Date.now,
  onInterrupt,
  ...operatorAdapters,
  version: packageJson.version,
});

process.exitCode = exitCode || process.exitCode;
// End the process with the signal that it received, so that a shell script that ran the command stops, too.
if (interruption !== undefined) process.kill(process.pid, interruption);
