import { setTimeout as sleep } from 'node:timers/promises';
import type { Input } from './input.ts';
import {
  attributesMd5,
  bodyMd5,
  MESSAGE_MEMBERS,
  MAX_BYTES,
  readContent,
  readSized,
  sizeOf,
  type Content,
} from './message.ts';
import { MAX_VISIBILITY_TIMEOUT_SECONDS, type Queue } from './queue.ts';
import { checkNames, numberOf, withDefaults } from './queue-attributes.ts';
import type { QueueStore } from './queue-store.ts';
import { checkSystemNames, receivedMessage } from './received.ts';
import { invalid, missing, SqsError } from './sqs-error.ts';

/** An emulated SQS action. */
export interface Action {
  /** The request members that the emulator supports. It refuses all others. */
  readonly members: readonly string[];
  /** Performs the action and returns the JSON of the response. `gone` aborts when the client disconnects. */
  readonly perform: (store: QueueStore, input: Input, gone: AbortSignal) => object | Promise<object>;
}

/** The interval at which a long poll checks the queue. */
const POLL_INTERVAL_MS = 20;

/** The SQS actions that the emulator supports, keyed by name. */
export const ACTIONS: Readonly<Record<string, Action>> = {
  CreateQueue: {
    members: ['QueueName', 'Attributes'],
    perform: (store, input) => ({
      QueueUrl: store.urlOf(store.create(input.text('QueueName'), input.map('Attributes'))),
    }),
  },
  GetQueueUrl: {
    members: ['QueueName', 'QueueOwnerAWSAccountId'],
    perform: (store, input) => {
      const queue = store.named(input.text('QueueName'), input.optionalText('QueueOwnerAWSAccountId'));
      return { QueueUrl: store.urlOf(queue) };
    },
  },
  ListQueues: {
    members: ['QueueNamePrefix'],
    perform: (store, input) => {
      const queues = store.startingWith(input.optionalText('QueueNamePrefix') ?? '');
      return queues.length === 0 ? {} : { QueueUrls: queues.map((queue) => store.urlOf(queue)) };
    },
  },
  GetQueueAttributes: {
    members: ['QueueUrl', 'AttributeNames'],
    perform: (store, input) => {
      const queue = store.at(input.text('QueueUrl'));
      const names = input.texts('AttributeNames');
      checkNames(names);
      const all = Object.entries(readAttributes(queue));
      const asked = all.filter(([name]) => names.includes('All') || names.includes(name));
      return asked.length === 0 ? {} : { Attributes: Object.fromEntries(asked) };
    },
  },
  SetQueueAttributes: {
    members: ['QueueUrl', 'Attributes'],
    perform: (store, input) => {
      if (input.optional('Attributes') === undefined) throw missing('Attributes');
      store.at(input.text('QueueUrl')).setAttributes(input.map('Attributes'));
      return {};
    },
  },
  SendMessage: {
    members: ['QueueUrl', ...MESSAGE_MEMBERS],
    perform: (store, input) => sending(store.at(input.text('QueueUrl')), input)(),
  },
  SendMessageBatch: {
    members: ['QueueUrl', 'Entries'],
    perform: (store, input) => {
      const queue = store.at(input.text('QueueUrl'));
      const entries = input.entries(MESSAGE_MEMBERS);
      const sizeBytes = entries.reduce((sum, entry) => sum + sizeOfEntry(entry), 0);
      if (sizeBytes > MAX_BYTES) throw new SqsError('BatchRequestTooLong', `Longer than ${MAX_BYTES} bytes.`);
      for (const entry of entries) requireIds(queue, entry);
      return performEach(entries, (entry) => sending(queue, entry));
    },
  },
  ReceiveMessage: {
    members: [
      'QueueUrl',
      'MaxNumberOfMessages',
      'VisibilityTimeout',
      'WaitTimeSeconds',
      'MessageAttributeNames',
      'MessageSystemAttributeNames',
      'AttributeNames',
    ],
    perform: async (store, input, gone) => {
      const queue = store.at(input.text('QueueUrl'));
      const max = input.number('MaxNumberOfMessages', 1, 10) ?? 1;
      const visibilitySeconds = input.number('VisibilityTimeout', 0, MAX_VISIBILITY_TIMEOUT_SECONDS);
      const waitSeconds =
        input.number('WaitTimeSeconds', 0, 20) ?? numberOf(queue.attributes, 'ReceiveMessageWaitTimeSeconds');
      const names = input.texts('MessageAttributeNames');
      const systemNames = [...input.texts('MessageSystemAttributeNames'), ...input.texts('AttributeNames')];
      checkSystemNames(systemNames);
      const untilMs = performance.now() + waitSeconds * 1000;
      let received = queue.receive(max, visibilitySeconds);
      while (received.length === 0 && performance.now() < untilMs && !gone.aborted) {
        await sleep(POLL_INTERVAL_MS);
        if (!gone.aborted) received = queue.receive(max, visibilitySeconds);
      }
      if (received.length === 0) return {};
      return { Messages: received.map((message) => receivedMessage(message, names, systemNames)) };
    },
  },
  DeleteMessage: {
    members: ['QueueUrl', 'ReceiptHandle'],
    perform: (store, input) => deletion(store.at(input.text('QueueUrl')), input)(),
  },
  DeleteMessageBatch: {
    members: ['QueueUrl', 'Entries'],
    perform: (store, input) => {
      const queue = store.at(input.text('QueueUrl'));
      return performEach(input.entries(['ReceiptHandle']), (entry) => deletion(queue, entry));
    },
  },
  ChangeMessageVisibility: {
    members: ['QueueUrl', 'ReceiptHandle', 'VisibilityTimeout'],
    perform: (store, input) => visibilityChange(store.at(input.text('QueueUrl')), input)(),
  },
  ChangeMessageVisibilityBatch: {
    members: ['QueueUrl', 'Entries'],
    perform: (store, input) => {
      const queue = store.at(input.text('QueueUrl'));
      return performEach(input.entries(['ReceiptHandle', 'VisibilityTimeout']), (entry) =>
        visibilityChange(queue, entry),
      );
    },
  },
};

function readAttributes(queue: Queue): Record<string, string> {
  const { visible, inFlight, delayed } = queue.counts();
  return {
    ...withDefaults(queue.attributes, queue.isFifo),
    QueueArn: queue.arn,
    CreatedTimestamp: String(queue.createdSeconds),
    LastModifiedTimestamp: String(queue.modifiedSeconds),
    ApproximateNumberOfMessages: String(visible),
    ApproximateNumberOfMessagesNotVisible: String(inFlight),
    ApproximateNumberOfMessagesDelayed: String(delayed),
  };
}

/**
 * Performs a batch action for each entry, even if other entries fail. If a member of an entry has the wrong JSON type,
 * the whole batch fails before any entry is performed, because AWS cannot read such a request.
 * @param prepare reads an entry, and returns a function that performs it
 */
function performEach(entries: readonly Input[], prepare: (entry: Input) => () => object): object {
  const prepared = entries.map((entry) => ({ Id: entry.text('Id'), perform: prepareOrFail(prepare, entry) }));
  const Successful: object[] = [];
  const Failed: object[] = [];
  for (const { Id, perform } of prepared) {
    try {
      Successful.push({ Id, ...perform() });
    } catch (error) {
      if (!(error instanceof SqsError)) throw error;
      Failed.push({ Id, Code: error.type, Message: error.message, SenderFault: true });
    }
  }
  return { Successful, ...(Failed.length > 0 && { Failed }) };
}

/**
 * Reads an entry, and returns a function that performs it. If the entry is invalid, the returned function throws the
 * error.
 */
function prepareOrFail(prepare: (entry: Input) => () => object, entry: Input): () => object {
  try {
    return prepare(entry);
  } catch (error) {
    if (!(error instanceof SqsError) || error.type === 'SerializationException') throw error;
    return () => {
      throw error;
    };
  }
}

/** Reads a receipt handle. Returns a function that deletes its message. */
function deletion(queue: Queue, input: Input): () => object {
  const receiptHandle = input.text('ReceiptHandle');
  return () => {
    queue.delete(receiptHandle);
    return {};
  };
}

/** Reads a receipt handle and a visibility timeout. Returns a function that applies them. */
function visibilityChange(queue: Queue, input: Input): () => object {
  const seconds = input.number('VisibilityTimeout', 0, MAX_VISIBILITY_TIMEOUT_SECONDS);
  if (seconds === undefined) throw missing('VisibilityTimeout');
  const receiptHandle = input.text('ReceiptHandle');
  return () => {
    queue.changeVisibility(receiptHandle, seconds);
    return {};
  };
}

/** Reads the message in a request. Returns a function that puts it into the queue. */
function sending(queue: Queue, input: Input): () => object {
  const content = readContent(input, queue.isFifo, queue.maxBytes);
  return () => sendTo(queue, content);
}

/**
 * @throws SqsError if an entry of a batch lacks an ID that its FIFO queue requires. SQS then sends no message of the
 * batch.
 */
function requireIds(queue: Queue, entry: Input): void {
  const fault = queue.idFault(entry.optional('MessageGroupId'), entry.optional('MessageDeduplicationId'));
  if (fault !== undefined) throw invalid(fault.message);
}

/** The size of a message in bytes. Zero if the entry is invalid: `sendTo` checks it later and reports the error. */
function sizeOfEntry(entry: Input): number {
  try {
    return sizeOf(readSized(entry));
  } catch {
    return 0;
  }
}

/**
 * Sends a message to a queue. The response contains the checksums of the message in this request, even if deduplication
 * returned an earlier message. The SDK compares them with what it sent.
 */
function sendTo(queue: Queue, content: Content): object {
  const { messageId, sequenceNumber } = queue.send(content);
  return {
    MessageId: messageId,
    MD5OfMessageBody: bodyMd5(content),
    MD5OfMessageAttributes: attributesMd5(content.attributes),
    SequenceNumber: sequenceNumber,
  };
}
