import type { SQSRecord } from 'aws-lambda';
import type { QueueConfig } from '../config/queue-config.ts';
import { KeyfoldError } from '../errors.ts';
import { timeAhead } from '../async/clock.ts';
import { Semaphore } from '../async/semaphore.ts';
import { isSendable, type OutgoingMessage } from '../sqs/message.ts';
import { NotSent, Outbox } from '../sqs/outbox.ts';
import type { Queues } from '../sqs/queues.ts';
import { audited, type AuditSubject } from './audit.ts';
import type { MessageOutcome } from './message-outcome.ts';
import { perform, type Call, type DoorOptions } from './perform.ts';
import { toKeyfoldError } from './problem.ts';
import { deadLetter, isRetryableMessage, orderedGroupOf, readMessage, resultMessage } from './queue-message.ts';

/** Dependencies of the queue door. */
export interface QueueDoorOptions extends DoorOptions {
  readonly queues: Queues;
  readonly queue: QueueConfig;
}

/** The share of the remaining invocation time that operations may use. */
export const OPERATIONS_TIME_SHARE = 0.7;
/**
 * How many messages are processed at the same time: enough to fill batch calls to SQS, and few enough to leave little
 * unfinished work at the deadline.
 */
const CONCURRENCY = 100;

/** Processes the messages of one SQS event and records the outcome of each. */
export class QueueBatch {
  readonly #options: QueueDoorOptions;
  readonly #requestId: string;
  /**
   * Messages that must be processed in order share a lane. A FIFO queue has one lane per group. In a standard queue,
   * each message has its own lane.
   */
  readonly #lanes: readonly (readonly SQSRecord[])[];
  readonly #outcomes = new Map<SQSRecord, MessageOutcome>();

  /** @param requestId Lambda's request id of the invocation */
  constructor(options: QueueDoorOptions, records: readonly SQSRecord[], requestId: string) {
    this.#options = options;
    this.#requestId = requestId;
    this.#lanes = [...Map.groupBy(records, (record) => orderedGroupOf(record) ?? record).values()];
  }

  /**
   * Processes all messages: runs their operations, and sends results and dead letters. A failure becomes the outcome of
   * its message.
   * @param remainingMs milliseconds until the invocation must return
   * @param signal aborts sending to SQS
   */
  async run(remainingMs: number, signal: AbortSignal): Promise<void> {
    const { now, queues, queue } = this.#options;
    const endsAtMs = timeAhead(OPERATIONS_TIME_SHARE * remainingMs, now);
    const work = {
      results: new Outbox(queues, queue.outputUrl, signal),
      deadLetters: new Outbox(queues, queue.deadLetterUrl, signal),
      remainingMs: () => endsAtMs() - now(),
    };
    const semaphore = new Semaphore(CONCURRENCY);
    await Promise.all(this.#lanes.map((lane) => semaphore.run(() => this.#processInOrder(lane, work))));
  }

  /**
   * Stops at the first message that must be retried, so that the later messages of its lane stay in order behind it.
   */
  async #processInOrder(lane: readonly SQSRecord[], work: Work): Promise<void> {
    for (const record of lane) {
      const outcome = await this.#process(record, work);
      this.#outcomes.set(record, outcome);
      if (outcome.kind === 'retried') return;
    }
  }

  /** Returns the outcome of every message. */
  outcomes(): MessageOutcome[] {
    return this.#lanes.flat().map((record) => this.#outcomeOf(record));
  }

  /** Returns the messages that SQS must deliver again. */
  failed(): SQSRecord[] {
    return this.#lanes.flat().filter((record) => this.#isFailed(record));
  }

  /**
   * Delays the redelivery of failed messages. The delay doubles with each receive. All messages of a FIFO group have
   * the same delay.
   * @returns one error name for each delay that SQS refused. A message whose delay was refused keeps the queue's
   * visibility timeout.
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

  /** Processes one message. Never throws: a failure becomes the outcome. */
  async #process(record: SQSRecord, work: Work): Promise<MessageOutcome> {
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
    // If the keys are cached, no KMS call checks the deadline. So check it here, while there is still time to send
    // results.
    if (remainingMs() <= this.#options.config.deadlineMarginMs) {
      throw new KeyfoldError('DeadlineExceeded', 'The invocation has no time left for this message.');
    }
    const call = readMessage(record, this.#options.queue);
    const answer = await audited(this.#options.telemetry, this.#askedBy(record, call), (trail) => {
      trail.requestRead(call.request.value);
      return perform(this.#options, call, {
        remainingMs: remainingMs(),
        answerFits: (text) => isSendable(resultMessage(record, text)),
        trail,
        itemsFailed: throwRetryable,
      });
    });
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

  /**
   * Returns the retry delay in seconds. It is random, so that messages that failed together do not all come back at the
   * same time.
   */
  #delayOf(record: SQSRecord | undefined): number {
    const { retryDelaySeconds, longestRetryDelaySeconds } = this.#options.queue;
    const received = Number(record?.attributes.ApproximateReceiveCount ?? 1);
    const longest = Math.min(longestRetryDelaySeconds, retryDelaySeconds * 2 ** (received - 1));
    return Math.ceil(longest * (0.5 + Math.random() / 2));
  }
}

interface Work {
  readonly results: Outbox;
  readonly deadLetters: Outbox;
  /** The time that the operations may still take, in milliseconds. */
  readonly remainingMs: () => number;
}

/**
 * Fails the whole message if any of its items is retryable, because SQS deletes the message once its result has been
 * sent.
 */
function throwRetryable(errors: readonly KeyfoldError[]): void {
  const retryable = errors.find(isRetryableMessage);
  if (retryable !== undefined) throw retryable;
}

/**
 * Turns a result that SQS will never accept into `PayloadTooLarge`, so that the message goes to the dead-letter queue
 * without a retry.
 */
function throwIfRefused(error: unknown): never {
  if (!(error instanceof NotSent && error.refusesContent)) throw error;
  throw new KeyfoldError('PayloadTooLarge', 'The output queue refuses the content of the result.', { cause: error });
}

function asFailure(thrown: unknown): KeyfoldError | NotSent {
  return thrown instanceof NotSent ? thrown : toKeyfoldError(thrown);
}

function retried({ messageId }: SQSRecord, error: KeyfoldError | NotSent): MessageOutcome {
  return { messageId, kind: 'retried', code: error instanceof NotSent ? 'NotSent' : error.code, error };
}
