import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/**
 * A PostgreSQL server on 127.0.0.1 without files. It has one session, which all connections share and which ignores
 * their user and database. So it cannot test locks, rights, cancelled queries or settings of a session.
 */
export class PgliteServer {
  readonly port: number;
  readonly #process: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#process = child;
    this.port = port;
  }

  /**
   * Starts the server in its own process. V8 sometimes aborts the whole process if several threads run code while one
   * of them compiles or frees the WebAssembly of PostgreSQL (nodejs/node#64500).
   */
  static async start(): Promise<PgliteServer> {
    const child = fork(join(import.meta.dirname, 'pglite-worker.ts'), {
      execArgv: ['--no-memory-protection-keys', '--liftoff-only'],
    });
    const [port] = (await once(child, 'message')) as [number];
    return new PgliteServer(child, port);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.disconnect();
    await ended;
  }
}
