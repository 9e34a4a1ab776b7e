import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../emulators/listen.ts';
import { LAMBDA_RUNTIME } from './lambda-runtime.ts';

/** The options of an {@link EmulatedFunction}. */
export interface EmulatedFunctionOptions {
  /** The folder with the unpacked package. The function has no other files. */
  readonly taskRoot: string;
  /** The handler, as it is configured in Lambda: `dist/handlers/api/index.handler`. */
  readonly handler: string;
  readonly name: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** A failure of a function, as the function reported it to the Runtime API. */
export interface ToldError {
  readonly errorType: string;
  readonly errorMessage: string;
}

const STARTS_WITHIN_MS = 20_000;
const TIMEOUT_SECONDS = 30;
const PATH = '/2015-03-31/functions/function/invocations';

/**
 * A function that runs under Lambda's runtime emulator, with Lambda's own client for the Runtime API. The first event
 * starts the process, as in a cold start. The process has only the environment variables that it is given.
 */
export class EmulatedFunction {
  readonly #emulator: ChildProcess;
  readonly #url: string;
  #log = '';

  private constructor(emulator: ChildProcess, url: string) {
    this.#emulator = emulator;
    this.#url = url;
    for (const stream of [emulator.stdout, emulator.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
    }
  }

  static async start({ taskRoot, handler, name, environment }: EmulatedFunctionOptions): Promise<EmulatedFunction> {
    const [own, runtimeApi] = [await freePort(), await freePort()];
    const addresses = ['--runtime-interface-emulator-address', `127.0.0.1:${own}`];
    addresses.push('--runtime-api-address', `127.0.0.1:${runtimeApi}`);
    const command = [process.execPath, LAMBDA_RUNTIME.client, handler];
    const emulator = spawn(LAMBDA_RUNTIME.emulator, [...addresses, '--log-level', 'error', ...command], {
      cwd: taskRoot,
      env: {
        PATH: '/usr/bin:/bin',
        LAMBDA_TASK_ROOT: taskRoot,
        AWS_LAMBDA_FUNCTION_NAME: name,
        AWS_LAMBDA_FUNCTION_TIMEOUT: String(TIMEOUT_SECONDS),
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '1024',
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const one = new EmulatedFunction(emulator, `http://127.0.0.1:${own}${PATH}`);
    await listening(own, () => emulator.exitCode !== null);
    return one;
  }

  /** What the function and the emulator have printed so far. */
  get log(): string {
    return this.#log;
  }

  /** The JSON lines that the function has printed. */
  get lines(): Record<string, unknown>[] {
    return this.#log
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Sends an event. Resolves to the function's result, or rejects with a {@link ToldError}. */
  async invoke(event: unknown): Promise<unknown> {
    const response = await fetch(this.#url, { method: 'POST', body: JSON.stringify(event) });
    const text = await response.text();
    return text === '' ? undefined : (JSON.parse(text) as unknown);
  }

  /** Stops the emulator and the function's process. */
  async stop(): Promise<void> {
    if (this.#emulator.exitCode !== null || this.#emulator.signalCode !== null) return;
    const gone = once(this.#emulator, 'exit');
    // Use SIGTERM and not SIGKILL, so that the emulator can stop the function's process.
    this.#emulator.kill('SIGTERM');
    await gone;
  }
}

async function listening(port: number, hasEnded: () => boolean): Promise<void> {
  const giveUpAtMs = Date.now() + STARTS_WITHIN_MS;
  while (!(await accepts(port))) {
    if (hasEnded() || Date.now() > giveUpAtMs) throw new Error('the runtime emulator does not start');
    await sleep(10);
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
