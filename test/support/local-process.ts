import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** What `npm start` runs, as a process of its own. */
export interface LocalProcess {
  readonly child: ChildProcess;
  readonly greeting: string;
  /** Where the API and the page are, without a slash at the end. */
  readonly url: string;
}

/** Starts everything, on free ports unless told otherwise, and waits for its greeting. */
export async function startLocalProcess(...args: string[]): Promise<LocalProcess> {
  const ports = ['--port', '0', '--kms-port', '0', '--dynamodb-port', '0', '--sqs-port', '0'];
  const root = join(import.meta.dirname, '..', '..');
  const child = spawn(process.execPath, ['local/start.ts', ...ports, ...args], { cwd: root });
  let greeting = '';
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error(`it ended: ${greeting}`)));
    child.stdout.on('data', (chunk: Buffer) => {
      greeting += chunk.toString();
      if (greeting.includes('WaitTimeSeconds')) resolve();
    });
  });
  const [, url = ''] = /API +(\S+)/.exec(greeting) ?? [];
  return { child, greeting, url };
}

/** Ends it, as Ctrl+C would. */
export async function stopLocalProcess({ child }: Pick<LocalProcess, 'child'>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
