import { attributesMd5, bodyMd5 } from './message.ts';
import type { Message } from './queue.ts';
import { SqsError } from './sqs-error.ts';

/** What ReceiveMessage tells about a message besides what its sender gave it, by name. */
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

/** @throws SqsError for a name that SQS does not know. No message has a trace header, since sending one is refused. */
export function checkSystemNames(names: readonly string[]): void {
  const known = new Set(['All', 'AWSTraceHeader', ...Object.keys(SYSTEM_ATTRIBUTES)]);
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) throw new SqsError('InvalidAttributeName', `Unknown Attribute ${unknown}.`);
}

/**
 * A message as ReceiveMessage answers with it.
 * @param names the attributes of its sender that are asked for: `All`, names, or `prefix.*`
 * @param systemNames those of SQS: `All` or names
 */
export function handedOut(message: Message, names: readonly string[], systemNames: readonly string[]): object {
  const isAsked = (name: string): boolean =>
    names.some(
      (asked) => asked === 'All' || asked === name || (asked.endsWith('.*') && name.startsWith(asked.slice(0, -2))),
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
