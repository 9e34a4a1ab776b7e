import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { timeAhead } from '../async/clock.ts';
import { withDeadline } from '../async/deadline.ts';
import { invalidConfiguration } from '../errors.ts';
import { isFifoQueue, isSameQueue } from '../sqs/message.ts';
import { isFromQueue, unexpectedEvent } from './event-source.ts';
import { doorHandler, type Handler } from './handler.ts';
import { QueueBatch, type QueueDoorOptions } from './queue-batch.ts';

/** The share of the remaining time in which the door may send messages. The rest is for delaying failed messages. */
const SENDING_TIME_SHARE = 0.85;

/**
 * Creates the door for standard and FIFO queues of SQS (docs/reference/queue.md). The door acknowledges a message once
 * its result is in the output queue, or the message itself is in the dead-letter queue. It reports every other message
 * as failed, so that SQS delivers it again.
 */
export function queueDoor(options: QueueDoorOptions): Handler<SQSEvent, SQSBatchResponse> {
  return doorHandler(options.telemetry, (event, context) => answer(options, event, context));
}

async function answer(options: QueueDoorOptions, event: SQSEvent, context: Context): Promise<SQSBatchResponse> {
  // If the response contains no failures, SQS deletes the messages, so throw for an unexpected event.
  if (!isFromQueue(event)) throw unexpectedEvent('the messages of an SQS queue');
  const { Records: records } = event;
  const remainingMs = context.getRemainingTimeInMillis();
  const { queue, config, telemetry, now } = options;
  if (records.some(({ eventSourceARN }) => isFifoQueue(eventSourceARN) !== isFifoQueue(queue.outputUrl))) {
    throw invalidConfiguration(['one of the source queue and the output queue is a FIFO queue and the other is not']);
  }
  const sendsTo = [queue.outputUrl, queue.deadLetterUrl];
  if (records.some(({ eventSourceARN }) => sendsTo.some((url) => isSameQueue(eventSourceARN, url)))) {
    // If the function served this queue, each result would come back as a new message. Its receive count would be 1
    // again, so the loop would never end.
    throw invalidConfiguration(['the source queue is also the output queue or the dead-letter queue']);
  }
  const endsAtMs = timeAhead(remainingMs - config.deadlineMarginMs, now);
  const until = (share: number) => ({ deadlineAtMs: endsAtMs() - (1 - share) * remainingMs });
  const batch = new QueueBatch(options, records, context.awsRequestId);
  await withDeadline(until(SENDING_TIME_SHARE), now, ({ signal }) => batch.run(remainingMs, signal));
  const unhidden = await withDeadline(until(1), now, ({ signal }) => batch.hideFailed(signal));
  telemetry.messagesHandled(batch.outcomes(), unhidden);
  return { batchItemFailures: batch.failed().map(({ messageId }) => ({ itemIdentifier: messageId })) };
}
