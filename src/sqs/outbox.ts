import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_MESSAGE_BYTES, MAX_CALL_ENTRIES, sizeOf, type OutgoingMessage } from './message.ts';
import type { Queues, SendFault } from './queues.ts';

const MAX_ATTEMPTS = 5;
/** The first delay between attempts is up to this; each further one up to twice as long. */
const FIRST_DELAY_MS = 50;

/** That a message was not sent, or may not have been. */
export class NotSent extends Error {
  override readonly name = 'NotSent';
  /** See {@link SendFault}. */
  readonly refusesContent: boolean;

  constructor({ errorName, refusesContent = false }: Pick<SendFault, 'errorName' | 'refusesContent'>) {
    super(`SQS: ${errorName}`);
    this.refusesContent = refusesContent;
  }
}

interface Waiting {
  readonly message: OutgoingMessage;
  readonly resolve: () => void;
  readonly reject: (error: NotSent) => void;
}

/**
 * Sends messages to one queue, gathered into calls of as many as SQS takes. Messages of one group keep their order where each
 * is handed over when the one before has been sent; then no call ever holds two of a group.
 */
export class Outbox {
  readonly #queues: Queues;
  readonly #queueUrl: string;
  readonly #signal: AbortSignal;
  #waiting: Waiting[] = [];

  /** @param signal aborted when nothing is to be sent any more */
  constructor(queues: Queues, queueUrl: string, signal: AbortSignal) {
    this.#queues = queues;
    this.#queueUrl = queueUrl;
    this.#signal = signal;
  }

  /**
   * Sends a message that {@link isSendable}; resolves when the queue has it.
   * @throws NotSent where it was not sent, or may not have been
   */
  send(message: OutgoingMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      // All that is ready in this turn of the event loop goes together.
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ message, resolve, reject });
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const batch of batchesOf(waiting)) void this.#deliver(batch);
  }

  /** Settles all of a batch. What the queue may take in a moment is tried again, and not what it took. */
  async #deliver(batch: readonly Waiting[]): Promise<void> {
    let left = batch;
    for (let attempt = 1; left.length > 0; attempt += 1) {
      const messages = left.map(({ message }) => message);
      const faults = await this.#queues.send(this.#queueUrl, messages, this.#signal);
      const isLast = attempt === MAX_ATTEMPTS || this.#signal.aborted;
      left = left.filter(({ resolve, reject }, i) => {
        const fault = faults[i];
        if (fault === undefined) resolve();
        else if (fault.isTransient && !isLast) return true;
        else reject(new NotSent(fault));
        return false;
      });
      if (left.length > 0) await this.#pause(attempt);
    }
  }

  async #pause(attempt: number): Promise<void> {
    const delayMs = Math.random() * FIRST_DELAY_MS * 2 ** (attempt - 1);
    // When it is aborted the next call fails at once, and tells so.
    await sleep(delayMs, undefined, { signal: this.#signal }).catch(() => {});
  }
}

/** Batches of no more messages, and no larger together, than SQS takes in a call. */
function batchesOf(waiting: readonly Waiting[]): Waiting[][] {
  const batches: Waiting[][] = [];
  let sizeBytes = 0;
  for (const one of waiting) {
    const ownBytes = sizeOf(one.message);
    const last = batches.at(-1);
    if (last !== undefined && last.length < MAX_CALL_ENTRIES && sizeBytes + ownBytes <= MAX_MESSAGE_BYTES) {
      last.push(one);
      sizeBytes += ownBytes;
    } else {
      batches.push([one]);
      sizeBytes = ownBytes;
    }
  }
  return batches;
}
