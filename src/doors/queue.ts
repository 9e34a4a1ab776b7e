import middy from '@middy/core';
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { withDeadline } from '../async/deadline.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';
import { isFifoQueue, isSameQueue } from '../sqs/message.ts';
import { isFromQueue, unexpectedEvent } from './event-source.ts';
import { statusOf } from './problem.ts';
import { QueueBatch, type QueueDoorOptions } from './queue-batch.ts';

/** By which share of an invocation's time results are to be sent. The rest is for hiding what has failed. */
const SENT_BY = 0.85;

/**
 * A handler for SQS's events, of standard and of FIFO queues (docs/queue.md). A message is acknowledged when its result is in
 * the output queue, or itself in the dead-letter queue; every other is reported as failed, and comes back.
 */
export function queueDoor(options: QueueDoorOptions): (event: SQSEvent, context: Context) => Promise<SQSBatchResponse> {
  const { telemetry } = options;
  return middy<SQSEvent, SQSBatchResponse>({ timeoutEarlyInMillis: 0 })
    .before(({ context }) => telemetry.begin(context))
    .handler(async (event, context) => {
      try {
        return await answer(options, event, context);
      } catch (error) {
        if (error instanceof KeyfoldError) telemetry.requestFailed(error, statusOf(error.code));
        throw error;
      } finally {
        telemetry.flush();
      }
    });
}

async function answer(options: QueueDoorOptions, event: SQSEvent, context: Context): Promise<SQSBatchResponse> {
  // Thrown, since an answer without failures would have a queue's messages deleted.
  if (!isFromQueue(event)) throw unexpectedEvent('the messages of an SQS queue');
  const { Records: records } = event;
  const remainingMs = context.getRemainingTimeInMillis();
  const { queue, config, telemetry, now } = options;
  if (records.some(({ eventSourceARN }) => isFifoQueue(eventSourceARN) !== isFifoQueue(queue.outputUrl))) {
    throw invalidConfiguration(['of the queue that messages come from and the output queue one is a FIFO queue']);
  }
  const sendsTo = [queue.outputUrl, queue.deadLetterUrl];
  if (records.some(({ eventSourceARN }) => sendsTo.some((url) => isSameQueue(eventSourceARN, url)))) {
    // Each message sent there would be a new one: no count of its receives would ever end that.
    throw invalidConfiguration(['the queue that messages come from is the output queue or the dead-letter queue']);
  }
  const startMs = now();
  const until = (share: number) => ({ deadlineAtMs: startMs + share * remainingMs - config.deadlineMarginMs });
  const batch = new QueueBatch(options, records, context.awsRequestId);
  await withDeadline(until(SENT_BY), now, ({ signal }) => batch.run(remainingMs, signal));
  const unhidden = await withDeadline(until(1), now, ({ signal }) => batch.hideFailed(signal));
  telemetry.messagesHandled(batch.outcomes(), unhidden);
  return { batchItemFailures: batch.failed().map(({ messageId }) => ({ itemIdentifier: messageId })) };
}
