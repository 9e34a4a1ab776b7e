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

/** The attribute of a dead letter that holds the error code with which its message failed. */
const ERROR_CODE_ATTRIBUTE = 'keyfold-error-code';

/**
 * What happens to a failed message, by error code. If an operator must fix the error, the message is retried, because
 * it can wait in the queue. An outage must not turn good messages into dead letters.
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
  ContextRequired: 'dead-letter',
  RecordUnreadable: 'dead-letter',
  PartitionErased: 'dead-letter',
  KeyNotYetVisible: 'retry',
  KmsThrottled: 'retry',
  KmsUnavailable: 'retry',
  KmsMisconfigured: 'retry',
  KeyRowUnreadable: 'retry',
  MetastoreUnavailable: 'retry',
  NotReady: 'retry',
  DeadlineExceeded: 'retry',
  Internal: 'retry',
};

/** Whether a later attempt at a message may succeed, because the cause may pass or an operator may fix it. */
export function isRetryableMessage({ code }: KeyfoldError): boolean {
  return DISPOSITIONS[code] === 'retry';
}

/**
 * Reads the operation and its input from the body of a message. The default operation is `encrypt-fields`.
 * @throws KeyfoldError `InvalidRequest`, which never contains the body
 */
export function readMessage({ body }: SQSRecord, { fields }: QueueConfig): Call {
  return readInvocation(requestOf(body), { operation: 'encrypt-fields', fields });
}

/** Builds the message for a result, with the attributes of the source message. It may exceed the size limit of SQS. */
export function resultMessage(record: SQSRecord, answer: string): OutgoingMessage {
  // JSON strings may contain these two characters, which SQS refuses.
  const body = answer.replace(/[\ufffe\uffff]/g, (character) => `\\u${character.charCodeAt(0).toString(16)}`);
  return { body, attributes: carriedAttributes(record), ...placeOf(record) };
}

/** Builds the dead letter: the unchanged message, plus an attribute with the error code if there is room for it. */
export function deadLetter(record: SQSRecord, code: ErrorCode): OutgoingMessage {
  const attributes = carriedAttributes(record);
  const message = { body: record.body, attributes, ...placeOf(record) };
  const errorCode = { DataType: 'String', StringValue: code };
  const labelled = { ...message, attributes: { ...attributes, [ERROR_CODE_ATTRIBUTE]: errorCode } };
  return isSendable(labelled) ? labelled : message;
}

/**
 * The message group within which a FIFO queue keeps the order. Undefined for a standard queue, which keeps no order.
 */
export function orderedGroupOf({ eventSourceARN, attributes }: SQSRecord): string | undefined {
  return isFifoQueue(eventSourceARN) ? attributes.MessageGroupId : undefined;
}

/**
 * The group ID and deduplication ID of a result. On a standard queue, the result keeps the group of its source message,
 * for fair queues. On a FIFO queue, every receive of a message gives the same deduplication ID. So SQS delivers a
 * result once, even if the function sends it twice within five minutes.
 */
function placeOf(record: SQSRecord): Pick<OutgoingMessage, 'groupId' | 'deduplicationId'> {
  const groupId = record.attributes.MessageGroupId;
  if (groupId === undefined || orderedGroupOf(record) === undefined) return { groupId };
  // Queue ARNs and group ids cannot contain a line feed, so the joined text is unambiguous.
  const source = [record.eventSourceARN, groupId, record.messageId].join('\n');
  return { groupId, deduplicationId: createHash('sha256').update(source).digest('hex') };
}

/** The attributes of a message, without the error code that a redrive from the dead-letter queue leaves in it. */
function carriedAttributes({ messageAttributes }: SQSRecord): MessageAttributes {
  const carried = Object.entries(messageAttributes).filter(([name]) => name !== ERROR_CODE_ATTRIBUTE);
  return Object.fromEntries(carried.map(([name, attribute]) => [name, toOutgoing(attribute)]));
}

function toOutgoing({ dataType, stringValue, binaryValue }: SQSMessageAttributes[string]): MessageAttribute {
  return dataType.startsWith('Binary')
    ? { DataType: dataType, BinaryValue: Buffer.from(binaryValue ?? '', 'base64') }
    : { DataType: dataType, StringValue: stringValue ?? '' };
}
