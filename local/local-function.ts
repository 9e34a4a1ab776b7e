import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Invocation, Outcome } from './function-worker.ts';

interface Waiter {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/**
 * A function of the handlers/ folder in an execution environment of its own: a worker thread with its own environment
 * variables and module scope, so that its cache can be cold again without a restart of everything.
 */
export class LocalFunction {
  readonly #modulePath: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #waiters = new Map<number, Waiter>();
  #worker: Worker | undefined;
  #lastId = 0;

  constructor(modulePath: string, environment: Readonly<Record<string, string>>) {
    this.#modulePath = modulePath;
    this.#environment = environment;
  }

  /** Runs one event; in a new environment where there is none. Any number may run at once. */
  invoke(event: unknown, timeoutMs: number): Promise<unknown> {
    const worker = (this.#worker ??= this.#start());
    const id = (this.#lastId += 1);
    return new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject });
      worker.postMessage({ id, event, requestId: randomUUID(), timeoutMs } satisfies Invocation);
    });
  }

  /** Ends the environment: what runs fails, and the next event starts cold. */
  async recycle(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #start(): Worker {
    const workerData = { modulePath: this.#modulePath };
    const worker = new Worker(new URL('function-worker.ts', import.meta.url), { env: this.#environment, workerData });
    worker.on('message', (outcome: Outcome) => {
      const waiter = this.#waiters.get(outcome.id);
      this.#waiters.delete(outcome.id);
      if ('error' in outcome) waiter?.reject(new Error(outcome.error));
      else waiter?.resolve(outcome.result);
    });
    const end = (error: Error): void => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const waiter of this.#waiters.values()) waiter.reject(error);
      this.#waiters.clear();
    };
    worker.on('error', end);
    worker.on('exit', () => end(new Error('The execution environment has ended.')));
    return worker;
  }
}
