import { attributesMd5, bodyMd5 } from './message.ts';
import type { Message } from './queue.ts';
import { SqsError } from './sqs-error.ts';

/** The system attributes of received messages, each with a function that reads it. */
export const SYSTEM_ATTRIBUTES: Readonly<Record<string, (message: Message) => string | undefined>> = {
  SenderId: () => 'AIDALOCAL',
  SentTimestamp: ({ sentAtMs }) => String(sentAtMs),
  ApproximateReceiveCount: ({ receiveCount }) => String(receiveCount),
  ApproximateFirstReceiveTimestamp: ({ firstReceivedAtMs }) => String(firstReceivedAtMs),
  MessageGroupId: ({ groupId }) => groupId,
  MessageDeduplicationId: ({ deduplicationId }) => deduplicationId,
  SequenceNumber: ({ sequenceNumber }) => sequenceNumber,
  DeadLetterQueueSourceArn: ({ deadLetterSourceArn }) => deadLetterSourceArn,
};

/**
 * Checks the requested system attributes. Accepts `AWSTraceHeader`, although the emulator refuses messages with this
 * attribute.
 * @throws SqsError `InvalidAttributeName` if a name is not a system attribute of SQS
 */
export function checkSystemNames(names: readonly string[]): void {
  const known = new Set(['All', 'AWSTraceHeader', ...Object.keys(SYSTEM_ATTRIBUTES)]);
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) throw new SqsError('InvalidAttributeName', `Unknown Attribute ${unknown}.`);
}

/**
 * Converts a message to the form in which ReceiveMessage returns it.
 * @param names the requested message attributes: `All` or `*`, names, or `prefix.*`
 * @param systemNames the requested system attributes: `All` or names
 */
export function receivedMessage(message: Message, names: readonly string[], systemNames: readonly string[]): object {
  const isAsked = (name: string): boolean =>
    names.some(
      (asked) =>
        asked === 'All' ||
        asked === '*' ||
        asked === name ||
        (asked.endsWith('.*') && name.startsWith(asked.slice(0, -2))),
    );
  const attributes = Object.fromEntries(Object.entries(message.attributes).filter(([name]) => isAsked(name)));
  const system = Object.entries(SYSTEM_ATTRIBUTES)
    .filter(([name]) => systemNames.includes('All') || systemNames.includes(name))
    .map(([name, read]) => [name, read(message)] as const)
    .filter(([, value]) => value !== undefined);
  return {
    MessageId: message.messageId,
    ReceiptHandle: message.receiptHandle,
    Body: message.body,
    MD5OfBody: bodyMd5(message),
    ...(Object.keys(attributes).length > 0 && {
      MessageAttributes: attributes,
      MD5OfMessageAttributes: attributesMd5(attributes),
    }),
    ...(system.length > 0 && { Attributes: Object.fromEntries(system) }),
  };
}
