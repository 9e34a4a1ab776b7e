import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Holding, Post, Reply } from './instance-worker.ts';

/** The outcome of an invocation: its result, or the name of its error. */
export type Answer = { readonly result: unknown } | { readonly errorType: string };

/** A worker thread of a Managed Instance, which runs a function's bundle. */
export class ManagedInstance {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #posted = 0;
  /** What the worker has written to each stream so far. */
  readonly #logs: string[][] = [];

  /** @param modulePath the URL of the bundle */
  constructor(modulePath: string, environment: Readonly<Record<string, string>>) {
    const env = { ...environment, AWS_LAMBDA_MAX_CONCURRENCY: '64' };
    const options = { env, workerData: { modulePath }, stdout: true, stderr: true };
    this.#worker = new Worker(new URL('instance-worker.ts', import.meta.url), options);
    // Powertools' logger writes warnings to this stream.
    for (const stream of [this.#worker.stdout, this.#worker.stderr]) {
      const written: string[] = [];
      this.#logs.push(written);
      stream.on('data', (chunk: Buffer) => written.push(chunk.toString()));
    }
    this.#worker.on('message', (reply: Reply) => {
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
  }

  /** Sends an event. Any number of invocations may run at the same time. */
  async invoke(event: unknown, requestId: string): Promise<Answer> {
    const reply = await this.#post({ requestId, payload: JSON.stringify(event) });
    if ('result' in reply) return { result: JSON.parse(reply.result) as unknown };
    return { errorType: 'errorType' in reply ? reply.errorType : '' };
  }

  /** The resources that the worker holds while no invocation runs. */
  async measure(): Promise<Holding> {
    const reply = await this.#post({ measure: true });
    if ('holding' in reply) return reply.holding;
    throw new Error('it has not measured');
  }

  /**
   * Stops the worker.
   * @returns the JSON lines of its output
   */
  async end(): Promise<Record<string, unknown>[]> {
    // Output of the worker may arrive at any time until the worker has ended.
    await this.measure();
    const ended = [this.#worker.stdout, this.#worker.stderr].map((stream) => once(stream, 'end'));
    await this.#worker.terminate();
    await Promise.all(ended);
    const lines = this.#logs.flatMap((written) => written.join('').split('\n'));
    return lines.flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []));
  }

  #post(post: { requestId: string; payload: string } | { measure: true }): Promise<Reply> {
    const id = (this.#posted += 1);
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#worker.postMessage({ id, ...post } satisfies Post);
    });
  }
}
