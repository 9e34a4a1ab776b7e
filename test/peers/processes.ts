import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { freePort } from '../../emulators/listen.ts';
import { pythonOf } from './install.ts';
import { PEERS_FOLDER } from './peers-folder.ts';

/** A server that the tests started. */
export interface PeerServer {
  readonly endpoint: string;
  stop(): Promise<void>;
}

/** Environment variables that keep the AWS clients of child processes from using real AWS. */
export const AWS_ENVIRONMENT = {
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_REGION: 'us-west-2',
};

const STARTS_WITHIN_MS = 60_000;

/** Starts DynamoDB Local with tables in memory. */
export async function startDynamoDbLocal(): Promise<PeerServer> {
  const folder = join(PEERS_FOLDER, 'dynamodb-local');
  const main = 'com.amazonaws.services.dynamodbv2.local.main.ServerRunner';
  const port = await freePort();
  const options = ['-inMemory', '-sharedDb', '-disableTelemetry', '-port', String(port)];
  const args = [`-Djava.library.path=${folder}`, '-cp', join(folder, '*'), main, ...options];
  return started(spawn('java', args, { stdio: 'ignore' }), port);
}

/**
 * Starts moto, which emulates many services of AWS in every region.
 * @param environment additional variables for its process
 */
export async function startMoto(environment: Readonly<Record<string, string>> = {}): Promise<PeerServer> {
  const port = await freePort();
  const args = ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)];
  return started(spawn(pythonOf('moto'), args, { stdio: 'ignore', env: { ...process.env, ...environment } }), port);
}

/** Stops one of our processes, and resolves when it has ended. */
export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function started(child: ChildProcess, port: number): Promise<PeerServer> {
  const endOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', endOnExit);
  const endpoint = `http://127.0.0.1:${port}`;
  const giveUpAtMs = Date.now() + STARTS_WITHIN_MS;
  while (!(await answers(endpoint))) {
    if (child.exitCode !== null || Date.now() > giveUpAtMs) throw new Error(`${child.spawnfile} does not start`);
    await setTimeout(100);
  }
  return {
    endpoint,
    stop: async () => {
      process.off('exit', endOnExit);
      await end(child);
    },
  };
}

async function answers(endpoint: string): Promise<boolean> {
  return fetch(endpoint).then(
    () => true,
    () => false,
  );
}
