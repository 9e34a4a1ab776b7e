import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { FunctionError, Invocation, Outcome } from './function-worker.ts';

/** How long each function may run. */
export const FUNCTION_TIMEOUT_MS = 30_000;

/** A failure of a function, as its caller is told of it. */
export class FunctionFailure extends Error {
  override readonly name = 'FunctionFailure';
  readonly told: FunctionError;

  constructor(told: FunctionError) {
    super(`${told.errorType}: ${told.errorMessage}`);
    this.told = told;
  }
}

interface Waiter {
  resolve(payload: string): void;
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
  readonly #name: string;
  #current: Environment | undefined;
  #lastId = 0;

  constructor(modulePath: string, environment: Readonly<Record<string, string>>, name = 'keyfold-api') {
    this.#modulePath = modulePath;
    this.#environment = environment;
    this.#name = name;
  }

  /**
   * Runs one event; in a new environment where there is none. Any number may run at once.
   * @throws FunctionFailure
   */
  async invoke(event: unknown, timeoutMs: number): Promise<unknown> {
    return JSON.parse(await this.run(JSON.stringify(event), timeoutMs));
  }

  /**
   * As {@link invoke}, with the event and its result as the JSON texts that go to and fro between Lambda and a function.
   * @throws FunctionFailure
   */
  run(payload: string, timeoutMs: number, requestId: string = randomUUID()): Promise<string> {
    const { worker, waiters } = (this.#current ??= this.#start());
    const id = (this.#lastId += 1);
    return new Promise((resolve, reject) => {
      waiters.set(id, { resolve, reject });
      worker.postMessage({ id, payload, requestId, timeoutMs } satisfies Invocation);
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
    const workerData = { modulePath: this.#modulePath, functionName: this.#name };
    const worker = new Worker(new URL('function-worker.ts', import.meta.url), { env: this.#environment, workerData });
    worker.on('message', (outcome: Outcome) => {
      const waiter = waiters.get(outcome.id);
      waiters.delete(outcome.id);
      if ('error' in outcome) waiter?.reject(new FunctionFailure(outcome.error));
      else waiter?.resolve(outcome.payload);
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
