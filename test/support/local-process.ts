import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect } from 'vitest';
import { runCurl } from './pasted.ts';

/** A child process that runs `npm start`. */
export interface LocalProcess {
  readonly child: ChildProcess;
  readonly greeting: string;
  /** The address of the API and the page, without a trailing slash. */
  readonly url: string;
}

/** Starts the local world and waits for its greeting. It uses free ports unless `args` name others. */
export async function startLocalProcess(...args: string[]): Promise<LocalProcess> {
  const ports = ['--port', '0', '--kms-port', '0', '--dynamodb-port', '0', '--sqs-port', '0'];
  const root = join(import.meta.dirname, '..', '..');
  const child = spawn(process.execPath, ['local/start.ts', ...ports, ...args], { cwd: root });
  let greeting = '';
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error(`it ended: ${greeting}`)));
    child.stdout.on('data', (chunk: Buffer) => {
      greeting += chunk.toString();
      if (greeting.includes('WaitTimeSeconds') && greeting.endsWith('\n\n')) resolve();
    });
  });
  return { child, greeting, url: addressOf({ greeting }, 'API') };
}

/** The address that the greeting shows for `API`, `KMS`, `DynamoDB` or `SQS`. */
export function addressOf({ greeting }: Pick<LocalProcess, 'greeting'>, name: string): string {
  return new RegExp(`${name} +(http\\S+)`).exec(greeting)?.[1] ?? '';
}

/** Stops the process, as Ctrl+C would. */
export async function stopLocalProcess({ child }: Pick<LocalProcess, 'child'>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

/** The command below the heading with the number `n` in the greeting. */
export function commandOf(greeting: string, n: number): string {
  return new RegExp(`^${n}\\. .*\\n +(.*)$`, 'm').exec(greeting)?.[1] ?? '';
}

/** Runs curl commands from the greeting, all of which must succeed. Returns the body of the last response. */
export async function paste(commands: string, folder: string): Promise<string> {
  let output = '';
  for (const command of commands.split(' && ')) {
    expect(command).toMatch(/^curl -s /);
    const { status, body } = await runCurl(command, folder);
    expect(status).toBeLessThan(300);
    output = body;
  }
  return output;
}
