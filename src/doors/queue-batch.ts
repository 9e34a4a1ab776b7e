import type { SQSRecord } from 'aws-lambda';
import type { QueueConfig } from '../config/queue-config.ts';
import { KeyfoldError } from '../errors.ts';
import { Semaphore } from '../async/semaphore.ts';
import { isSendable, type OutgoingMessage } from '../sqs/message.ts';
import { NotSent, Outbox } from '../sqs/outbox.ts';
import type { Queues } from '../sqs/queues.ts';
import { audited, type AuditSubject } from './audit.ts';
import type { MessageOutcome } from './message-outcome.ts';
import { perform, type Call, type DoorOptions } from './perform.ts';
import { deadLetter, isRetryableMessage, orderedGroupOf, readMessage, resultMessage } from './queue-message.ts';

/** What the queue's door needs. */
export interface QueueDoorOptions extends DoorOptions {
  readonly queues: Queues;
  readonly queue: QueueConfig;
}

/** By which share of an invocation's time operations are to be done. */
const DONE_BY = 0.7;
/** Enough to fill SQS's calls, and few enough that what is under way at the end is little. */
const CONCURRENCY = 100;

/** The messages of one event on their way through. */
export class QueueBatch {
  readonly #options: QueueDoorOptions;
  readonly #requestId: string;
  /** What must be in order is in one lane: a FIFO queue's group, and every message of another queue by itself. */
  readonly #lanes: readonly (readonly SQSRecord[])[];
  readonly #outcomes = new Map<SQSRecord, MessageOutcome>();

  /** @param requestId Lambda's id of the invocation */
  constructor(options: QueueDoorOptions, records: readonly SQSRecord[], requestId: string) {
    this.#options = options;
    this.#requestId = requestId;
    this.#lanes = [...Map.groupBy(records, (record) => orderedGroupOf(record) ?? record).values()];
  }

  /**
   * Takes every message as far as it comes.
   * @param remainingMs how long the invocation may take
   * @param signal aborted when nothing more is to be sent
   */
  async run(remainingMs: number, signal: AbortSignal): Promise<void> {
    const { now, queues, queue } = this.#options;
    const startMs = now();
    const work = {
      results: new Outbox(queues, queue.outputUrl, signal),
      deadLetters: new Outbox(queues, queue.deadLetterUrl, signal),
      remainingMs: () => DONE_BY * remainingMs - (now() - startMs),
    };
    const semaphore = new Semaphore(CONCURRENCY);
    await Promise.all(this.#lanes.map((lane) => semaphore.run(() => this.#takeInOrder(lane, work))));
  }

  /** What is to come back holds up those of its lane behind it. */
  async #takeInOrder(lane: readonly SQSRecord[], work: Work): Promise<void> {
    for (const record of lane) {
      const outcome = await this.#take(record, work);
      this.#outcomes.set(record, outcome);
      if (outcome.kind === 'retried') return;
    }
  }

  /** What became of each message. */
  outcomes(): MessageOutcome[] {
    return this.#lanes.flat().map((record) => this.#outcomeOf(record));
  }

  /** The messages that are to come back. */
  failed(): SQSRecord[] {
    return this.#lanes.flat().filter((record) => this.#isFailed(record));
  }

  /**
   * Hides the messages that are to come back, for the longer the more often they came. A group's come back together.
   * @returns the name of the error for each that could not be hidden, and comes when its queue's own time is up
   */
  async hideFailed(signal: AbortSignal): Promise<readonly string[]> {
    const visibilityChanges = this.#lanes.flatMap((lane) => {
      const failed = lane.filter((record) => this.#isFailed(record));
      const delaySeconds = this.#delayOf(failed[0]);
      return failed.map(({ receiptHandle }) => ({ receiptHandle, delaySeconds }));
    });
    const queueArn = this.#lanes[0]?.[0]?.eventSourceARN;
    if (queueArn === undefined || visibilityChanges.length === 0) return [];
    return this.#options.queues.changeVisibility(queueArn, visibilityChanges, signal);
  }

  /** Never throws. */
  async #take(record: SQSRecord, work: Work): Promise<MessageOutcome> {
    const { messageId } = record;
    try {
      const message = await this.#resultOf(record, work);
      await work.results.send(message).catch(throwIfRefused);
      return { messageId, kind: 'done' };
    } catch (thrown) {
      const error = asFailure(thrown);
      if (error instanceof NotSent || isRetryableMessage(error)) return retried(record, error);
      return work.deadLetters.send(deadLetter(record, error.code)).then(
        () => ({ messageId, kind: 'dead-lettered', code: error.code, error }),
        (unsent: unknown) => retried(record, asFailure(unsent)),
      );
    }
  }

  async #resultOf(record: SQSRecord, { remainingMs }: Work): Promise<OutgoingMessage> {
    // Warm keys ask for no time: without this the last of many would be done when there is none to send it.
    if (remainingMs() <= this.#options.config.deadlineMarginMs) {
      throw new KeyfoldError('DeadlineExceeded', 'The time for this batch is up.');
    }
    const call = readMessage(record, this.#options.queue);
    const answer = await audited(this.#options.telemetry, this.#askedBy(record, call), (trail) =>
      perform(this.#options, call, {
        remainingMs: remainingMs(),
        answerFits: (text) => isSendable(resultMessage(record, text)),
        trail,
        itemsFailed: throwRetryable,
      }),
    );
    return resultMessage(record, answer);
  }

  #askedBy({ messageId, attributes }: SQSRecord, { operation, partition }: Call): AuditSubject {
    const requestId = this.#requestId;
    return { door: 'queue', requestId, messageId, principal: attributes.SenderId, operation, partition };
  }

  #outcomeOf(record: SQSRecord): MessageOutcome {
    return this.#outcomes.get(record) ?? { messageId: record.messageId, kind: 'retried', code: 'Behind' };
  }

  #isFailed(record: SQSRecord): boolean {
    return this.#outcomeOf(record).kind === 'retried';
  }

  /** Jittered, so that what has failed together does not come back together. */
  #delayOf(record: SQSRecord | undefined): number {
    const { retryDelaySeconds, longestRetryDelaySeconds } = this.#options.queue;
    const received = Number(record?.attributes.ApproximateReceiveCount ?? 1);
    const longest = Math.min(longestRetryDelaySeconds, retryDelaySeconds * 2 ** (received - 1));
    return Math.ceil(longest * (0.5 + Math.random() / 2));
  }
}

/** What messages are taken through. */
interface Work {
  readonly results: Outbox;
  readonly deadLetters: Outbox;
  /** How long until the operations are to be done. */
  readonly remainingMs: () => number;
}

/** An item that a retry can mend is not to be answered with an error, since its message would be acknowledged with it. */
function throwRetryable(errors: readonly KeyfoldError[]): void {
  const mendable = errors.find(isRetryableMessage);
  if (mendable !== undefined) throw mendable;
}

/** What the output queue will never take is the message's fault, and must not come back again and again. */
function throwIfRefused(error: unknown): never {
  if (!(error instanceof NotSent && error.refusesContent)) throw error;
  throw new KeyfoldError('PayloadTooLarge', 'The output queue does not take the result.', { cause: error });
}

function asFailure(thrown: unknown): KeyfoldError | NotSent {
  if (thrown instanceof KeyfoldError || thrown instanceof NotSent) return thrown;
  return new KeyfoldError('Internal', 'Something went wrong here, and has been logged.', { cause: thrown });
}

function retried({ messageId }: SQSRecord, error: KeyfoldError | NotSent): MessageOutcome {
  return { messageId, kind: 'retried', code: error instanceof NotSent ? 'NotSent' : error.code, error };
}
