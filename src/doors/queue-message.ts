import { createHash } from 'node:crypto';
import type { SQSMessageAttributes, SQSRecord } from 'aws-lambda';
import type { QueueConfig } from '../config/queue-config.ts';
import type { KeyfoldError, ErrorCode } from '../errors.ts';
import {
  isFifoQueue,
  isSendable,
  type MessageAttribute,
  type MessageAttributes,
  type OutgoingMessage,
} from '../sqs/message.ts';
import { readInvocation } from './invocation.ts';
import { requestOf } from './json-request.ts';
import type { Call } from './perform.ts';

/** The attribute that says why a message is in the dead-letter queue. */
const ERROR_CODE_ATTRIBUTE = 'keyfold-error-code';

/**
 * What becomes of a message that fails. Whoever calls over HTTP is told at once that an operator must act; a message can wait
 * for that, and an outage must not turn good messages into dead letters.
 */
const DISPOSITIONS: Readonly<Record<ErrorCode, 'dead-letter' | 'retry'>> = {
  InvalidConfiguration: 'retry',
  InvalidRequest: 'dead-letter',
  Unauthenticated: 'dead-letter',
  Forbidden: 'dead-letter',
  NotFound: 'dead-letter',
  MethodNotAllowed: 'dead-letter',
  UnsupportedMediaType: 'dead-letter',
  PayloadTooLarge: 'dead-letter',
  FieldNotFound: 'dead-letter',
  RecordUnreadable: 'dead-letter',
  KeyNotYetVisible: 'retry',
  KmsThrottled: 'retry',
  KmsUnavailable: 'retry',
  KmsMisconfigured: 'retry',
  KeyRowUnreadable: 'retry',
  MetastoreUnavailable: 'retry',
  DeadlineExceeded: 'retry',
  Internal: 'retry',
};

/** Whether a later try may succeed, once an operator has done something about it at the latest. */
export function isRetryableMessage({ code }: KeyfoldError): boolean {
  return DISPOSITIONS[code] === 'retry';
}

/**
 * Reads what a message asks for.
 * @throws KeyfoldError `InvalidRequest`; never with the body on it
 */
export function readMessage({ body }: SQSRecord, { fields }: QueueConfig): Call {
  return readInvocation(requestOf(body), { operation: 'encrypt-fields', fields });
}

/** The message with a result: what it came with goes with it. It may be larger than SQS takes. */
export function resultMessage(record: SQSRecord, answer: string): OutgoingMessage {
  // The two characters that JSON allows in a string and SQS nowhere.
  const body = answer.replace(/[\ufffe\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16)}`);
  return { body, attributes: carriedAttributes(record), ...placeOf(record) };
}

/** A message as it came, for the dead-letter queue, with the reason where there is room for it. */
export function deadLetter(record: SQSRecord, code: ErrorCode): OutgoingMessage {
  const attributes = carriedAttributes(record);
  const message = { body: record.body, attributes, ...placeOf(record) };
  const told = { DataType: 'String', StringValue: code };
  const labelled = { ...message, attributes: { ...attributes, [ERROR_CODE_ATTRIBUTE]: told } };
  return isSendable(labelled) ? labelled : message;
}

/** The group of a FIFO queue's message, which keeps an order; undefined for another queue's. */
export function orderedGroupOf({ eventSourceARN, attributes }: SQSRecord): string | undefined {
  return isFifoQueue(eventSourceARN) ? attributes.MessageGroupId : undefined;
}

/**
 * Where a message's result goes. A standard queue's group (fair queues) is passed on. A FIFO queue's deduplication id is the same each time
 * that the message is received, so that a result that is sent twice within five minutes arrives once.
 */
function placeOf(record: SQSRecord): Pick<OutgoingMessage, 'groupId' | 'deduplicationId'> {
  const groupId = record.attributes.MessageGroupId;
  if (groupId === undefined || orderedGroupOf(record) === undefined) return { groupId };
  // Nothing in front of the last part can hold a line feed.
  const source = [record.eventSourceARN, groupId, record.messageId].join('\n');
  return { groupId, deduplicationId: createHash('sha256').update(source).digest('hex') };
}

/** Without the reason for which a message was once dead-lettered, if it was and has been sent back. */
function carriedAttributes({ messageAttributes }: SQSRecord): MessageAttributes {
  const carried = Object.entries(messageAttributes).filter(([name]) => name !== ERROR_CODE_ATTRIBUTE);
  return Object.fromEntries(carried.map(([name, attribute]) => [name, toOutgoing(attribute)]));
}

function toOutgoing({ dataType, stringValue, binaryValue }: SQSMessageAttributes[string]): MessageAttribute {
  return dataType.startsWith('Binary')
    ? { DataType: dataType, BinaryValue: Buffer.from(binaryValue ?? '', 'base64') }
    : { DataType: dataType, StringValue: stringValue ?? '' };
}
