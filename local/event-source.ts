import { setTimeout as sleep } from 'node:timers/promises';
import { DeleteMessageBatchCommand, ReceiveMessageCommand, SQSClient, type Message } from '@aws-sdk/client-sqs';
import type { SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';

/** The queue to poll and the function to invoke with its messages. */
export interface EventSourceOptions {
  /** The URL of SQS. */
  readonly endpoint: string;
  readonly queueUrl: string;
  readonly queueArn: string;
  readonly invoke: (event: SQSEvent) => Promise<unknown>;
  /** The maximum number of messages in one event. The default is 10. */
  readonly batchSize?: number;
  /**
   * The maximum number of messages that one ReceiveMessage call returns, at most 10. An event may need several calls.
   */
  readonly receivedAtOnce?: number;
  /** The maximum number of concurrent invocations. The default is 1. */
  readonly concurrency?: number;
}

const MAX_RECEIVED = 10;
const WAIT_SECONDS = 2;
const PAUSE_MS = 200;

/**
 * Polls a queue and invokes a function with its messages, as Lambda does with `ReportBatchItemFailures`. It deletes the
 * messages that the function does not report as failed. It deletes none if the function fails or its response is
 * invalid.
 * @returns `stop`, which ends polling immediately. Messages in progress become visible in the queue again.
 */
export function startEventSource(options: EventSourceOptions): { stop: () => Promise<void> } {
  const { endpoint, concurrency = 1 } = options;
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const client = new SQSClient({ endpoint, region: 'us-west-2', credentials });
  const stopped = new AbortController();
  const poll = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      await processBatch(client, options, stopped.signal).catch(() => sleep(PAUSE_MS));
    }
  };
  const pollers = Promise.all(Array.from({ length: concurrency }, poll));
  return {
    stop: async () => {
      stopped.abort();
      await pollers;
      client.destroy();
    },
  };
}

async function processBatch(client: SQSClient, options: EventSourceOptions, signal: AbortSignal): Promise<void> {
  const { queueUrl, queueArn, invoke, batchSize = MAX_RECEIVED, receivedAtOnce = MAX_RECEIVED } = options;
  const messages: Message[] = [];
  for (let received = 1; received > 0 && messages.length < batchSize;) {
    const command = new ReceiveMessageCommand({
      QueueUrl: queueUrl,
      MaxNumberOfMessages: Math.min(receivedAtOnce, batchSize - messages.length),
      WaitTimeSeconds: messages.length === 0 ? WAIT_SECONDS : 0,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['All'],
    });
    const { Messages: some = [] } = await client.send(command, { abortSignal: signal });
    messages.push(...some);
    received = some.length;
  }
  if (messages.length === 0) return;
  const answer = await invoke({ Records: messages.map((message) => toRecord(message, queueArn)) });
  const done = acknowledged(messages, answer);
  for (let i = 0; i < done.length; i += MAX_RECEIVED) {
    const entries = done.slice(i, i + MAX_RECEIVED).map(({ ReceiptHandle }, n) => ({ Id: String(n), ReceiptHandle }));
    await client.send(new DeleteMessageBatchCommand({ QueueUrl: queueUrl, Entries: entries }));
  }
}

/**
 * The messages that the function does not report as failed. Empty if the report names a message of another batch. As in
 * Lambda, a report that is absent or null means that no message has failed.
 */
function acknowledged(messages: readonly Message[], answer: unknown): Message[] {
  const { batchItemFailures } = (answer ?? {}) as Partial<SQSBatchResponse>;
  const failed = new Set((batchItemFailures ?? []).map(({ itemIdentifier }) => itemIdentifier));
  const left = messages.filter(({ MessageId = '' }) => !failed.has(MessageId));
  return left.length === messages.length - failed.size ? left : [];
}

/** Converts a received message to a record of Lambda's SQS event. Binary values are in base64. */
function toRecord(message: Message, queueArn: string): SQSRecord {
  const attributes = Object.entries(message.MessageAttributes ?? {}).map(([name, attribute]) => [
    name,
    {
      dataType: attribute.DataType ?? 'String',
      ...(attribute.StringValue !== undefined && { stringValue: attribute.StringValue }),
      ...(attribute.BinaryValue !== undefined && {
        binaryValue: Buffer.from(attribute.BinaryValue).toString('base64'),
      }),
      stringListValues: [],
      binaryListValues: [],
    },
  ]);
  return {
    messageId: message.MessageId ?? '',
    receiptHandle: message.ReceiptHandle ?? '',
    body: message.Body ?? '',
    attributes: message.Attributes as unknown as SQSRecord['attributes'],
    messageAttributes: Object.fromEntries(attributes) as SQSRecord['messageAttributes'],
    md5OfBody: message.MD5OfBody ?? '',
    eventSource: 'aws:sqs',
    eventSourceARN: queueArn,
    awsRegion: 'us-west-2',
  };
}
