import type { SQSEvent } from 'aws-lambda';
import { KeyfoldError } from '../errors.ts';
import { isJsonObject, membersOf } from '../input/json-object.ts';

/** The error for an event from a source that this function does not serve. */
export function unexpectedEvent(expected: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `This function expects ${expected}; this event is something else.`);
}

/**
 * Whether an event is an HTTP request of any kind, for example from an API, a function URL or a load balancer. The
 * sender of such an event expects an HTTP response.
 */
export function isRequest(event: unknown): boolean {
  return isJsonObject(membersOf(event)['requestContext']);
}

/** Whether the sender of an event intended a direct invocation, even if the event is invalid. */
export function isInvocation(event: unknown): boolean {
  const { operation, partition } = membersOf(event);
  return operation !== undefined || partition !== undefined;
}

/** Whether every record of an event is an SQS message. */
export function isFromQueue(event: unknown): event is SQSEvent {
  const { Records: records } = membersOf(event);
  return Array.isArray(records) && records.every(isQueueRecord);
}

function isQueueRecord(record: unknown): boolean {
  const { eventSource, eventSourceARN, messageId, body, attributes, messageAttributes } = membersOf(record);
  const isNamed = [eventSourceARN, messageId, body].every((text) => typeof text === 'string');
  return eventSource === 'aws:sqs' && isNamed && isJsonObject(attributes) && isJsonObject(messageAttributes);
}

/** Whether an event is from an EventBridge schedule, or is empty because an operator invoked the function by hand. */
export function isFromSchedule(event: unknown): boolean {
  if (event === null || event === undefined) return true;
  const { source, 'detail-type': detailType } = membersOf(event);
  if (source === 'aws.events' || source === 'aws.scheduler') {
    return detailType === undefined || detailType === 'Scheduled Event';
  }
  return isJsonObject(event) && Object.keys(event).length === 0;
}
