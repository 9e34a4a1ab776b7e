import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { orAborted } from '../../async/deadline.ts';
import { Semaphore } from '../../async/semaphore.ts';
import { errorNameOf } from '../../errors.ts';
import type { TokenAnswer, TokenCall, TokenSettings } from './pkcs11-token.ts';
import type { CallMessage } from './pkcs11-worker.ts';

/** The threads of this process, keyed by the path of their library. */
const THREADS = new Map<string, Pkcs11Thread>();

/**
 * Returns the thread of a library. All tokens of the library share the thread, because the library has one state for
 * the whole process. A shared thread also ensures that no call is in progress while the library is initialized again.
 */
export function threadOf(library: string): Pkcs11Thread {
  const thread = THREADS.get(library) ?? new Pkcs11Thread(library);
  THREADS.set(library, thread);
  return thread;
}

/** Sends calls to a separate thread, which starts with the first call. While idle, it lets the process end. */
class Pkcs11Thread {
  readonly #library: string;
  /** Lets one call at a time into the thread. So the thread never makes a call whose caller has stopped waiting. */
  readonly #turns = new Semaphore(1);
  #settle: ((answer: TokenAnswer) => void) | undefined;
  #worker: Worker | undefined;

  constructor(library: string) {
    this.#library = library;
  }

  /**
   * Calls the library. The thread makes one call at a time. A call that has begun continues even if its caller stops
   * waiting.
   * @throws the signal's reason if the signal aborts before the response arrives. If the response is an unwrapped key,
   * the key is then zeroed when it arrives.
   */
  async ask(settings: TokenSettings, call: TokenCall, signal: AbortSignal): Promise<TokenAnswer> {
    signal.throwIfAborted();
    const answered = this.#turns.run(async () => {
      signal.throwIfAborted();
      const answer = await this.#send({ settings, call }, signal);
      if (signal.aborted && answer.op === 'unwrapped') answer.key.fill(0);
      return answer;
    });
    return orAborted(answered, signal);
  }

  /** Sends a call to the thread. The thread keeps the process alive only while the caller waits. */
  #send(message: CallMessage, signal: AbortSignal): Promise<TokenAnswer> {
    const worker = (this.#worker ??= this.#start());
    const answered = new Promise<TokenAnswer>((resolve) => (this.#settle = resolve));
    worker.ref();
    void orAborted(answered, signal)
      .catch(() => {})
      .finally(() => worker.unref());
    worker.postMessage(message);
    return answered;
  }

  #start(): Worker {
    // In the package, the bundled worker is in the same folder as this file's bundle.
    const file = new URL(`pkcs11-worker${extname(import.meta.url)}`, import.meta.url);
    // Start the thread without the Node options of this process. With some of them, such as `--input-type`, Node
    // refuses to run a file.
    const worker = new Worker(file, { name: 'keyfold-pkcs11', workerData: this.#library, execArgv: [] });
    let errorName = 'ThreadEnded';
    worker.on('message', (answer: TokenAnswer) => this.#settle?.(answer));
    // An error ends the thread, for example if the thread's file is missing from a bundle. The next call starts another
    // thread.
    worker.once('error', (error) => (errorName = errorNameOf(error)));
    worker.once('exit', () => {
      this.#worker = undefined;
      this.#settle?.({ op: 'failed', fault: { faultClass: 'unavailable', errorName } });
    });
    return worker;
  }
}
