import { setTimeout as sleep } from 'node:timers/promises';
import { GetQueueAttributesCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { SQSEvent } from 'aws-lambda';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startSqsEmulator, type SqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import { startEventSource } from '../../../local/event-source.ts';

let sqs: SqsEmulator;
let client: SQSClient;
let queues = 0;

beforeAll(async () => {
  sqs = await startSqsEmulator();
  client = new SQSClient({ endpoint: sqs.endpoint, region: 'us-west-2' });
});
afterAll(async () => {
  client.destroy();
  await sqs.close();
});

/** Sends a message to a function that responds with `answer`. Returns how many messages the queue still has. */
async function leftAfter(answer: (messageId: string) => unknown): Promise<number> {
  const queue = sqs.ensureQueue(`queue-${(queues += 1)}`);
  const QueueUrl = queue.queueUrl;
  await client.send(new SendMessageCommand({ QueueUrl, MessageBody: 'x' }));
  const { promise: answered, resolve } = Promise.withResolvers<void>();
  const invoke = async ({ Records: [record] }: SQSEvent): Promise<unknown> => {
    resolve();
    return answer(record?.messageId ?? '');
  };
  const source = startEventSource({ endpoint: sqs.endpoint, ...queue, invoke });
  await answered;
  // Wait long enough for the event source to delete the message.
  await sleep(200);
  await source.stop();
  const AttributeNames = ['ApproximateNumberOfMessagesNotVisible' as const];
  const { Attributes } = await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames }));
  return Number(Attributes?.ApproximateNumberOfMessagesNotVisible);
}

// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
it.for([
  ['an empty list of failures', { batchItemFailures: [] }],
  ['null as its list of failures', { batchItemFailures: null }],
  ['an empty object', {}],
  ['an object without a list of failures', { statusCode: 200 }],
  ['null', null],
  ['nothing', undefined],
] as const)('the event source deletes the messages if the function returns %s', async ([, answer]) => {
  expect(await leftAfter(() => answer)).toBe(0);
});

it.for([
  ['the ID of the message', (itemIdentifier: string) => ({ batchItemFailures: [{ itemIdentifier }] })],
  ['an empty ID', () => ({ batchItemFailures: [{ itemIdentifier: '' }] })],
  ['null as an ID', () => ({ batchItemFailures: [{ itemIdentifier: null }] })],
  ['the ID in a member with another name', (id: string) => ({ batchItemFailures: [{ messageId: id }] })],
  ['the ID of a message of another batch', () => ({ batchItemFailures: [{ itemIdentifier: 'x' }] })],
  ['null as a failure', () => ({ batchItemFailures: [null] })],
  ['an object as its list of failures', () => ({ batchItemFailures: {} })],
] as const)('the event source keeps the messages if the function returns %s', async ([, answer]) => {
  expect(await leftAfter(answer)).toBe(1);
});

it('the event source keeps the messages if the function fails', async () => {
  expect(await leftAfter(() => Promise.reject(new Error('The function failed.')))).toBe(1);
});

it('the event source ends only after the invocation in progress has ended', async () => {
  const queue = sqs.ensureQueue(`queue-${(queues += 1)}`);
  await client.send(new SendMessageCommand({ QueueUrl: queue.queueUrl, MessageBody: 'x' }));
  const invoked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const invoke = (): Promise<void> => {
    invoked.resolve();
    return answer.promise;
  };
  const source = startEventSource({ endpoint: sqs.endpoint, ...queue, invoke });
  await invoked.promise;
  const stopped = source.stop();
  expect(await Promise.race([stopped.then(() => 'stopped'), sleep(200, 'still running')])).toBe('still running');
  answer.resolve();
  await stopped;
});

it.for([
  ['ten messages by default', {}, 11, [10, 1]],
  ['as many messages as the batch size allows', { batchSize: 2 }, 3, [2, 1]],
  ['more messages than one call returns', { batchSize: 12 }, 12, [12]],
  ['messages that the event source receives one at a time', { batchSize: 3, receivedAtOnce: 1 }, 3, [3]],
] as const)('an event contains %s, and the event source deletes all messages', async ([, options, count, sizes]) => {
  const queue = sqs.ensureQueue(`queue-${(queues += 1)}`);
  const QueueUrl = queue.queueUrl;
  for (let i = 0; i < count; i += 1) await client.send(new SendMessageCommand({ QueueUrl, MessageBody: String(i) }));
  const received: string[][] = [];
  const invoke = async ({ Records }: SQSEvent): Promise<void> => void received.push(Records.map(({ body }) => body));
  const source = startEventSource({ endpoint: sqs.endpoint, ...queue, ...options, invoke });
  const AttributeNames = ['All' as const];
  await vi.waitFor(async () => {
    const { Attributes } = await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames }));
    expect(Attributes).toMatchObject({
      ApproximateNumberOfMessages: '0',
      ApproximateNumberOfMessagesNotVisible: '0',
    });
  }, 20_000);
  await source.stop();
  expect(received.map(({ length }) => length)).toEqual(sizes);
  expect(received.flat().toSorted((a, b) => Number(a) - Number(b))).toEqual(
    Array.from({ length: count }, (_, i) => String(i)),
  );
});

it("an event contains each message with its attributes, as Lambda's events do", async () => {
  const queue = sqs.ensureQueue(`queue-${(queues += 1)}`);
  const sent = await client.send(
    new SendMessageCommand({
      QueueUrl: queue.queueUrl,
      MessageBody: 'héllo',
      MessageAttributes: {
        text: { DataType: 'String.plain', StringValue: 'é' },
        bytes: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) },
      },
    }),
  );
  const { promise, resolve } = Promise.withResolvers<SQSEvent>();
  const source = startEventSource({ endpoint: sqs.endpoint, ...queue, invoke: async (event) => resolve(event) });
  const lists = { stringListValues: [], binaryListValues: [] };
  expect((await promise).Records).toEqual([
    {
      messageId: sent.MessageId,
      receiptHandle: expect.stringMatching(/./) as string,
      body: 'héllo',
      attributes: expect.objectContaining({ ApproximateReceiveCount: '1', SenderId: 'AIDALOCAL' }) as object,
      messageAttributes: {
        text: { dataType: 'String.plain', stringValue: 'é', ...lists },
        bytes: { dataType: 'Binary', binaryValue: 'AP8=', ...lists },
      },
      md5OfBody: sent.MD5OfMessageBody,
      eventSource: 'aws:sqs',
      eventSourceARN: queue.queueArn,
      awsRegion: 'us-west-2',
    },
  ]);
  await source.stop();
});
