import { randomUUID } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { FunctionError, Invocation, Outcome } from './function-worker.ts';
import { copyPlainLines } from './request-log.ts';

/** The timeout of each function. */
export const FUNCTION_TIMEOUT_MS = 30_000;

/** What a caller of a function receives if the function's handler throws. */
export class FunctionFailure extends Error {
  override readonly name = 'FunctionFailure';
  readonly details: FunctionError;

  constructor(details: FunctionError) {
    super(`${details.errorType}: ${details.errorMessage}`);
    this.details = details;
  }
}

interface Waiter {
  resolve(payload: string): void;
  reject(error: Error): void;
}

/** A worker thread. `waiters` maps each invocation ID to the caller that waits for the outcome. */
interface Environment {
  readonly worker: Worker;
  readonly waiters: Map<number, Waiter>;
}

/**
 * Runs a function of handlers/ in a worker thread, with its own environment variables and modules. This lets `recycle`
 * empty the function's cache without restarting the whole process.
 */
export class LocalFunction {
  readonly #modulePath: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #name: string;
  readonly #isVerbose: boolean;
  #current: Environment | undefined;
  #lastId = 0;

  /** @param isVerbose whether to print the function's JSON lines, which are its logs and metrics */
  constructor(
    modulePath: string,
    environment: Readonly<Record<string, string>>,
    name = 'keyfold-api',
    isVerbose = true,
  ) {
    this.#modulePath = modulePath;
    this.#environment = environment;
    this.#name = name;
    this.#isVerbose = isVerbose;
  }

  /**
   * Runs one event. Starts an environment first if there is none. Any number of events may run at the same time.
   * @throws FunctionFailure if the handler throws
   */
  async invoke(event: unknown, timeoutMs: number): Promise<unknown> {
    return JSON.parse(await this.run(JSON.stringify(event), timeoutMs));
  }

  /**
   * Like {@link invoke}, but the event and the result are JSON text, as between Lambda and its runtime.
   * @throws FunctionFailure if the handler throws
   */
  run(payload: string, timeoutMs: number, requestId: string = randomUUID()): Promise<string> {
    const { worker, waiters } = (this.#current ??= this.#start());
    const id = (this.#lastId += 1);
    return new Promise((resolve, reject) => {
      waiters.set(id, { resolve, reject });
      worker.postMessage({ id, payload, requestId, timeoutMs } satisfies Invocation);
    });
  }

  /** Ends the environment. Its events in progress fail, and the next event starts in a cold environment. */
  async recycle(): Promise<void> {
    const ended = this.#current;
    this.#current = undefined;
    await ended?.worker.terminate();
  }

  #start(): Environment {
    const waiters = new Map<number, Waiter>();
    const workerData = { modulePath: this.#modulePath, functionName: this.#name };
    const captured = !this.#isVerbose;
    const { NODE_COMPILE_CACHE: cache } = process.env;
    const worker = new Worker(new URL('function-worker.ts', import.meta.url), {
      env: { ...(cache !== undefined && { NODE_COMPILE_CACHE: cache }), ...this.#environment },
      workerData,
      stdout: captured,
      stderr: captured,
    });
    if (captured) {
      copyPlainLines(worker.stdout, process.stdout);
      copyPlainLines(worker.stderr, process.stderr);
    }
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
