/** `keyfold`, the operator's commands: docs/revocation.md. The one place of the CLI that knows the process it is in. */
import { once } from 'node:events';
import { hostname, userInfo } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { openKeyTable } from '../container.ts';
import { runCli } from './program.ts';

/** The account that this runs under; its number where the system has no name for it, as in some containers. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}

/** Asks on standard error, so that standard output holds the answer alone. Who leaves (Ctrl+C, Ctrl+D) says nothing. */
async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // Older versions of Node leave the question open where the terminal is left, newer ones reject.
  const left = once(lines, 'close').then(() => '');
  try {
    return await Promise.race([lines.question(question), left]).catch(() => '');
  } finally {
    lines.close();
  }
}

// Who reads the answer may leave before its end (`| head -1`): what is being done goes on.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

process.exitCode = await runCli(process.argv.slice(2), {
  environment: process.env,
  terminal: {
    out: (text) => void process.stdout.write(`${text}\n`),
    err: (text) => void process.stderr.write(`${text}\n`),
    ask: process.stdin.isTTY ? ask : undefined,
  },
  caller: { user: userName(), host: hostname() },
  now: Date.now,
  openTable: openKeyTable,
});
