import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { Invocation, Outcome } from './function-worker.ts';

interface Waiter {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** What runs events, and who waits for them. */
interface Environment {
  readonly worker: Worker;
  readonly waiters: Map<number, Waiter>;
}

/**
 * A function of the handlers/ folder in an execution environment of its own: a worker thread with its own environment
 * variables and module scope, so that its cache can be cold again without a restart of everything.
 */
export class LocalFunction {
  readonly #modulePath: string;
  readonly #environment: Readonly<Record<string, string>>;
  #current: Environment | undefined;
  #lastId = 0;

  constructor(modulePath: string, environment: Readonly<Record<string, string>>) {
    this.#modulePath = modulePath;
    this.#environment = environment;
  }

  /** Runs one event; in a new environment where there is none. Any number may run at once. */
  invoke(event: unknown, timeoutMs: number): Promise<unknown> {
    const { worker, waiters } = (this.#current ??= this.#start());
    const id = (this.#lastId += 1);
    return new Promise((resolve, reject) => {
      waiters.set(id, { resolve, reject });
      worker.postMessage({ id, event, requestId: randomUUID(), timeoutMs } satisfies Invocation);
    });
  }

  /** Ends the environment: what runs fails, and the next event starts cold. */
  async recycle(): Promise<void> {
    const ended = this.#current;
    this.#current = undefined;
    await ended?.worker.terminate();
  }

  #start(): Environment {
    const waiters = new Map<number, Waiter>();
    const workerData = { modulePath: this.#modulePath };
    const worker = new Worker(new URL('function-worker.ts', import.meta.url), { env: this.#environment, workerData });
    worker.on('message', (outcome: Outcome) => {
      const waiter = waiters.get(outcome.id);
      waiters.delete(outcome.id);
      if ('error' in outcome) waiter?.reject(new Error(outcome.error));
      else waiter?.resolve(outcome.result);
    });
    const end = (error: Error): void => {
      if (this.#current?.worker === worker) this.#current = undefined;
      for (const waiter of waiters.values()) waiter.reject(error);
      waiters.clear();
    };
    worker.on('error', end);
    worker.on('exit', () => end(new Error('The execution environment has ended.')));
    return { worker, waiters };
  }
}
