import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { orAborted } from '../../async/deadline.ts';
import { errorNameOf } from '../../errors.ts';
import type { TokenAnswer, TokenCall, TokenSettings } from './pkcs11-token.ts';
import type { AnswerMessage, CallMessage } from './pkcs11-worker.ts';

/** The threads of this process, keyed by the path of their library. */
const THREADS = new Map<string, Pkcs11Thread>();

/**
 * Returns the thread of a library. All tokens of the library share the thread, because the library has one state for
 * the whole process. No call may be in progress while the library is initialized again.
 */
export function threadOf(library: string): Pkcs11Thread {
  const thread = THREADS.get(library) ?? new Pkcs11Thread(library);
  THREADS.set(library, thread);
  return thread;
}

/** Sends calls to a separate thread. The thread starts with the first call, and does not keep the process alive. */
class Pkcs11Thread {
  readonly #library: string;
  readonly #waiting = new Map<number, (answer: TokenAnswer) => void>();
  #worker: Worker | undefined;
  #calls = 0;

  constructor(library: string) {
    this.#library = library;
  }

  /**
   * Calls the library. The thread makes one call at a time. A call continues even if its caller stops waiting.
   * @throws the signal's reason if the signal aborts first. A key that arrives after that is zeroed.
   */
  async ask(settings: TokenSettings, call: TokenCall, signal: AbortSignal): Promise<TokenAnswer> {
    signal.throwIfAborted();
    const worker = (this.#worker ??= this.#start());
    const id = (this.#calls += 1);
    const answered = new Promise<TokenAnswer>((resolve) => {
      this.#waiting.set(id, (answer) => {
        if (signal.aborted && answer.op === 'unwrapped') answer.key.fill(0);
        resolve(answer);
      });
    });
    worker.ref();
    worker.postMessage({ id, settings, call } satisfies CallMessage);
    return orAborted(answered, signal);
  }

  #start(): Worker {
    // In the package, the bundled worker is in the same folder as this file's bundle.
    const file = new URL(`pkcs11-worker${extname(import.meta.url)}`, import.meta.url);
    // Do not pass on the options of the process, because some of them forbid running a file, for example
    // `--input-type`.
    const worker = new Worker(file, { name: 'keyfold-pkcs11', workerData: this.#library, execArgv: [] });
    let errorName = 'ThreadEnded';
    worker.on('message', ({ id, answer }: AnswerMessage) => this.#settle(id, answer));
    // An error ends the thread, for example if the thread's file is missing from a bundle. The next call starts another
    // thread.
    worker.once('error', (error) => (errorName = errorNameOf(error)));
    worker.once('exit', () => {
      this.#worker = undefined;
      const fault = { faultClass: 'unavailable', errorName } as const;
      for (const id of this.#waiting.keys()) this.#settle(id, { op: 'failed', fault });
    });
    return worker;
  }

  #settle(id: number, answer: TokenAnswer): void {
    this.#waiting.get(id)?.(answer);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker?.unref();
  }
}
