import { setTimeout as sleep } from 'node:timers/promises';
import type { Input } from './input.ts';
import { attributesMd5, bodyMd5, MOST_BYTES, readContent, sizeOf, type Content } from './message.ts';
import type { Message, Queue } from './queue.ts';
import type { QueueStore } from './queue-store.ts';
import { SqsError } from './sqs-error.ts';

/** One action of SQS's API. `gone` is aborted when its caller has left. */
type Action = (store: QueueStore, input: Input, gone: AbortSignal) => object | Promise<object>;

const LONGEST_HIDING_SECONDS = 43_200;
/** How often a long poll looks again. */
const LOOK_MS = 20;

/** The actions that are emulated, by name. */
export const ACTIONS: Readonly<Record<string, Action>> = {
  CreateQueue: (store, input) => ({
    QueueUrl: store.urlOf(store.create(input.text('QueueName'), input.map('Attributes'))),
  }),
  GetQueueUrl: (store, input) => ({ QueueUrl: store.urlOf(store.named(input.text('QueueName'))) }),
  GetQueueAttributes: (store, input) => {
    const queue = store.at(input.text('QueueUrl'));
    const { visible, inFlight, delayed } = queue.counts();
    const all: Record<string, string> = {
      ...queue.attributes,
      ...(queue.isFifo && { FifoQueue: 'true' }),
      QueueArn: queue.arn,
      ApproximateNumberOfMessages: String(visible),
      ApproximateNumberOfMessagesNotVisible: String(inFlight),
      ApproximateNumberOfMessagesDelayed: String(delayed),
    };
    const names = input.texts('AttributeNames');
    const asked = Object.entries(all).filter(([name]) => names.includes('All') || names.includes(name));
    return { Attributes: Object.fromEntries(asked) };
  },
  SendMessage: (store, input) => sendTo(store.at(input.text('QueueUrl')), input),
  SendMessageBatch: (store, input) => {
    const queue = store.at(input.text('QueueUrl'));
    const entries = input.entries();
    const sizeBytes = entries.reduce((sum, entry) => sum + sizeOf(contentOf(entry)), 0);
    if (sizeBytes > MOST_BYTES) throw new SqsError('BatchRequestTooLong', `Longer than ${MOST_BYTES} bytes.`);
    return eachOf(entries, (entry) => sendTo(queue, entry));
  },
  ReceiveMessage: async (store, input, gone) => {
    const queue = store.at(input.text('QueueUrl'));
    const most = input.number('MaxNumberOfMessages', 1, 10) ?? 1;
    const visibilitySeconds = input.number('VisibilityTimeout', 0, LONGEST_HIDING_SECONDS);
    const untilMs = Date.now() + (input.number('WaitTimeSeconds', 0, 20) ?? 0) * 1000;
    let received = queue.receive(most, visibilitySeconds);
    while (received.length === 0 && Date.now() < untilMs && !gone.aborted) {
      await sleep(LOOK_MS);
      if (!gone.aborted) received = queue.receive(most, visibilitySeconds);
    }
    return received.length === 0 ? {} : { Messages: received.map((message) => handedOut(message, input)) };
  },
  DeleteMessage: (store, input) => {
    store.at(input.text('QueueUrl')).delete(input.text('ReceiptHandle'));
    return {};
  },
  DeleteMessageBatch: (store, input) => {
    const queue = store.at(input.text('QueueUrl'));
    return eachOf(input.entries(), (entry) => {
      queue.delete(entry.text('ReceiptHandle'));
      return {};
    });
  },
  ChangeMessageVisibility: (store, input) => {
    hide(store.at(input.text('QueueUrl')), input);
    return {};
  },
  ChangeMessageVisibilityBatch: (store, input) => {
    const queue = store.at(input.text('QueueUrl'));
    return eachOf(input.entries(), (entry) => {
      hide(queue, entry);
      return {};
    });
  },
};

/** What came of each entry: one that fails does not keep the others from theirs. */
function eachOf(entries: readonly Input[], work: (entry: Input) => object): object {
  const Successful: object[] = [];
  const Failed: object[] = [];
  for (const entry of entries) {
    const Id = entry.text('Id');
    try {
      Successful.push({ Id, ...work(entry) });
    } catch (error) {
      if (!(error instanceof SqsError)) throw error;
      Failed.push({ Id, Code: error.type, Message: error.message, SenderFault: true });
    }
  }
  return { Successful, ...(Failed.length > 0 && { Failed }) };
}

function hide(queue: Queue, input: Input): void {
  const seconds = input.number('VisibilityTimeout', 0, LONGEST_HIDING_SECONDS);
  if (seconds === undefined) throw new SqsError('MissingParameter', 'There is no VisibilityTimeout.');
  queue.changeVisibility(input.text('ReceiptHandle'), seconds);
}

/** Only what its size is counted by. */
function contentOf(entry: Input): Content {
  const attributes = (entry.optional('MessageAttributes') ?? {}) as Content['attributes'];
  return { body: entry.text('MessageBody'), attributes } as Content;
}

/** The checksums are of what was sent, though the queue may have taken it for an earlier message. */
function sendTo(queue: Queue, input: Input): object {
  const content = readContent(input);
  const { messageId, sequenceNumber } = queue.send(content);
  return {
    MessageId: messageId,
    MD5OfMessageBody: bodyMd5(content),
    MD5OfMessageAttributes: attributesMd5(content.attributes),
    SequenceNumber: sequenceNumber,
  };
}

function handedOut(message: Message, input: Input): object {
  const names = input.texts('MessageAttributeNames');
  const isAsked = (name: string): boolean => names.some((asked) => ['All', '.*', name].includes(asked));
  const attributes = Object.fromEntries(Object.entries(message.attributes).filter(([name]) => isAsked(name)));
  const wantsSystem = [...input.texts('MessageSystemAttributeNames'), ...input.texts('AttributeNames')].length > 0;
  return {
    MessageId: message.messageId,
    ReceiptHandle: message.receiptHandle,
    Body: message.body,
    MD5OfBody: bodyMd5(message),
    ...(Object.keys(attributes).length > 0 && {
      MessageAttributes: attributes,
      MD5OfMessageAttributes: attributesMd5(attributes),
    }),
    ...(wantsSystem && { Attributes: systemAttributes(message) }),
  };
}

function systemAttributes(message: Message): object {
  return {
    SenderId: 'AIDALOCAL',
    SentTimestamp: String(message.sentAtMs),
    ApproximateReceiveCount: String(message.receiveCount),
    ApproximateFirstReceiveTimestamp: String(message.firstReceivedAtMs),
    MessageGroupId: message.groupId,
    MessageDeduplicationId: message.deduplicationId,
    SequenceNumber: message.sequenceNumber,
  };
}
