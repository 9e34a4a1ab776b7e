#!/usr/bin/env node
/** Entry of the `keyfold` command, which docs/reference/cli.md describes. Only this file of the CLI uses `process`. */
import { once } from 'node:events';
import { hostname, userInfo } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';
import packageJson from '../../package.json' with { type: 'json' };
import { operatorAdapters } from '../container.ts';
import type { Colour } from './dependencies.ts';
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

/** Colours a string if standard output is a terminal and the environment does not have `NO_COLOR`. */
function coloured(text: string, colour: Colour): string {
  return styleText(colour, text, { stream: process.stdout });
}

// Ignore a closed pipe (`| head -1`), so that the command finishes its work.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

process.exitCode = await runCli(process.argv.slice(2), {
  environment: process.env,
  stdin: process.stdin,
  terminal: {
    out: (text, colour) => void process.stdout.write(`${colour === undefined ? text : coloured(text, colour)}\n`),
    err: (text) => void process.stderr.write(`${text}\n`),
    status: process.stderr.isTTY ? (text) => void process.stderr.write(`\r\x1b[K${text}`) : undefined,
    ask: process.stdin.isTTY ? ask : undefined,
  },
  caller: { user: userName(), host: hostname() },
  now: Date.now,
  ...operatorAdapters,
  version: packageJson.version,
});
