import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_MESSAGE_BYTES, MAX_CALL_ENTRIES, sizeOf, type OutgoingMessage } from './message.ts';
import type { Queues, SendFault } from './queues.ts';

const MAX_ATTEMPTS = 5;
/** The upper bound of the random delay before the first retry, in milliseconds. Each retry doubles it. */
const FIRST_DELAY_MS = 50;

/** The error for a message that SQS did not confirm. SQS may nevertheless have received it. */
export class NotSent extends Error {
  override readonly name = 'NotSent';
  /** Whether the queue rejected the message's content. In that case a retry cannot help. */
  readonly refusesContent: boolean;

  constructor({ errorName, refusesContent = false }: Pick<SendFault, 'errorName' | 'refusesContent'>) {
    super(`SQS: ${errorName}`);
    this.refusesContent = refusesContent;
  }
}

interface PendingMessage {
  readonly message: OutgoingMessage;
  readonly resolve: () => void;
  readonly reject: (error: NotSent) => void;
}

/**
 * Sends messages to one queue, in batches as large as SQS accepts. To keep the order of a group, callers must wait for
 * `send` of one message before they send the next. So no call contains two messages of the same group.
 */
export class Outbox {
  readonly #queues: Queues;
  readonly #queueUrl: string;
  readonly #signal: AbortSignal;
  #waiting: PendingMessage[] = [];

  /** @param signal if the signal aborts, the outbox sends nothing more and rejects the remaining messages */
  constructor(queues: Queues, queueUrl: string, signal: AbortSignal) {
    this.#queues = queues;
    this.#queueUrl = queueUrl;
    this.#signal = signal;
  }

  /**
   * Sends a message, which must be {@link isSendable}. The promise resolves when SQS has confirmed the message.
   * @throws NotSent if SQS has not confirmed the message
   */
  send(message: OutgoingMessage): Promise<void> {
    return new Promise((resolve, reject) => {
      // Collect all messages of this turn of the event loop into one batch.
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ message, resolve, reject });
    });
  }

  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const batch of batchesOf(waiting)) void this.#deliver(batch);
  }

  /** Sends a batch and settles each message's promise. Retries only the messages that failed with a transient fault. */
  async #deliver(batch: readonly PendingMessage[]): Promise<void> {
    let remaining = batch;
    for (let attempt = 1; remaining.length > 0; attempt += 1) {
      const messages = remaining.map(({ message }) => message);
      const faults = await this.#queues.send(this.#queueUrl, messages, this.#signal);
      const isLast = attempt === MAX_ATTEMPTS || this.#signal.aborted;
      remaining = remaining.filter(({ resolve, reject }, i) => {
        const fault = faults[i];
        if (fault === undefined) resolve();
        else if (fault.isTransient && !isLast) return true;
        else reject(new NotSent(fault));
        return false;
      });
      if (remaining.length > 0) await this.#pause(attempt);
    }
  }

  async #pause(attempt: number): Promise<void> {
    const delayMs = Math.random() * FIRST_DELAY_MS * 2 ** (attempt - 1);
    // If the signal aborts, end the delay. The next call then fails immediately and reports the abort.
    await sleep(delayMs, undefined, { signal: this.#signal }).catch(() => {});
  }
}

/** Splits messages into batches within SQS's limits for the number and the total size of messages per call. */
function batchesOf(waiting: readonly PendingMessage[]): PendingMessage[][] {
  const batches: PendingMessage[][] = [];
  let sizeBytes = 0;
  for (const pending of waiting) {
    const ownBytes = sizeOf(pending.message);
    const last = batches.at(-1);
    if (last !== undefined && last.length < MAX_CALL_ENTRIES && sizeBytes + ownBytes <= MAX_MESSAGE_BYTES) {
      last.push(pending);
      sizeBytes += ownBytes;
    } else {
      batches.push([pending]);
      sizeBytes = ownBytes;
    }
  }
  return batches;
}
