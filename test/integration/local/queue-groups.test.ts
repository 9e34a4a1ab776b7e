import { ReceiveMessageCommand, SendMessageCommand, SQSClient, type Message } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { startSqsEmulator, type SqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import type { OutgoingMessage } from '../../../src/sqs/message.ts';
import { SqsQueues } from '../../../src/sqs/sqs-queues.ts';
import { errorOf } from '../../support/fakes.ts';

let emulator: SqsEmulator;
let client: SQSClient;

beforeAll(async () => {
  emulator = await startSqsEmulator();
  client = new SQSClient({ endpoint: emulator.endpoint, region: 'us-west-2' });
  vi.stubEnv('AWS_ENDPOINT_URL_SQS', emulator.endpoint);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  client.destroy();
  await emulator.close();
});

/** Sends messages as the queue door does, one per call, and returns the messages that the queue then contains. */
async function sentTo(queue: string, messages: readonly Omit<OutgoingMessage, 'attributes'>[]): Promise<Message[]> {
  const { queueUrl: QueueUrl } = emulator.ensureQueue(queue);
  const queues = new SqsQueues();
  for (const message of messages) {
    const faults = await queues.send(QueueUrl, [{ attributes: {}, ...message }], new AbortController().signal);
    expect(faults).toEqual([undefined]);
  }
  const command = new ReceiveMessageCommand({
    QueueUrl,
    MaxNumberOfMessages: 10,
    MessageSystemAttributeNames: ['All'],
  });
  return (await client.send(command)).Messages ?? [];
}

it('a FIFO queue keeps only one of two results with the same deduplication ID', async () => {
  const groupId = 'a';
  const received = await sentTo('once.fifo', [
    { body: 'sealed', groupId, deduplicationId: '1' },
    { body: 'sealed anew', groupId, deduplicationId: '1' },
    { body: 'another', groupId, deduplicationId: '2' },
  ]);
  expect(received.map(({ Body }) => Body)).toEqual(['sealed', 'another']);
});

it('a standard queue delivers several messages of a group at the same time', async () => {
  const received = await sentTo('fair', [{ body: '1', groupId: 'a' }, { body: '2', groupId: 'a' }, { body: '3' }]);
  expect(received.map(({ Body, Attributes }) => [Body, Attributes?.MessageGroupId])).toEqual([
    ['1', 'a'],
    ['2', 'a'],
    ['3', undefined],
  ]);
});

it.for([
  ['no characters', ''],
  ['a space', 'a b'],
  ['a letter outside ASCII', 'é'],
  ['129 characters', 'x'.repeat(129)],
] as const)('the emulator refuses a message group ID with %s, as SQS does', async ([, MessageGroupId]) => {
  const { queueUrl: QueueUrl } = emulator.ensureQueue('groups');
  const sending = client.send(new SendMessageCommand({ QueueUrl, MessageBody: 'x', MessageGroupId }));
  expect(await errorOf(sending)).toMatchObject({ $fault: 'client' });
});
