import { setTimeout as sleep } from 'node:timers/promises';
import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
  type Message,
  type ReceiveMessageCommandInput,
  type SendMessageBatchRequestEntry,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorOf } from '../fakes.ts';

/** A running SQS emulator. */
export interface SqsUnderTest {
  readonly endpoint: string;
  stop(): Promise<void>;
}

/** Features of SQS that an emulator lacks. The contract does not test them. */
export interface Lacks {
  /** The emulator may change the order of a group's messages when they become visible again. */
  readonly orderOfReturn?: boolean;
}

/** Tests the behaviour of SQS on which the queue door and Lambda's poller rely. Each test uses its own queues. */
export function sqsContract(name: string, start: () => Promise<SqsUnderTest>, lacks: Lacks = {}): void {
  describe(`the SQS of ${name}`, () => {
    let server: SqsUnderTest;
    let client: SQSClient;
    let queues = 0;

    beforeAll(async () => {
      server = await start();
      client = new SQSClient({ endpoint: server.endpoint, region: 'us-west-2' });
    });
    afterAll(() => server.stop());

    const create = async (attributes: Record<string, string> = {}): Promise<string> => {
      const fifo = attributes['FifoQueue'] === 'true' ? '.fifo' : '';
      const command = new CreateQueueCommand({ QueueName: `queue-${(queues += 1)}${fifo}`, Attributes: attributes });
      return (await client.send(command)).QueueUrl ?? '';
    };
    const createFifo = (attributes: Record<string, string> = {}): Promise<string> =>
      create({ FifoQueue: 'true', ...attributes });
    const arnOf = async (QueueUrl: string): Promise<string> => {
      const { Attributes } = await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
      return Attributes?.['QueueArn'] ?? '';
    };
    const send = async (QueueUrl: string, ...bodies: string[]): Promise<void> => {
      for (const MessageBody of bodies) await client.send(new SendMessageCommand({ QueueUrl, MessageBody }));
    };
    /** Sends messages to a FIFO queue. The first letter of a body names its message group: `a1` is in the group `a`. */
    const sendInGroups = async (QueueUrl: string, ...bodies: string[]): Promise<void> => {
      const Entries = bodies.map((body) => ({
        Id: body,
        MessageBody: body,
        MessageGroupId: body.charAt(0),
        MessageDeduplicationId: body,
      }));
      await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
    };
    const receive = async (QueueUrl: string, options: Partial<ReceiveMessageCommandInput> = {}): Promise<Message[]> => {
      const command = new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: 10,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: ['All'],
        ...options,
      });
      return (await client.send(command)).Messages ?? [];
    };

    it('delivers a message with its attributes and its receive count', async () => {
      const QueueUrl = await create();
      const MessageAttributes = {
        text: { DataType: 'String.of a kind', StringValue: 'é' },
        number: { DataType: 'Number', StringValue: '1.50' },
        bytes: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) },
      };
      await client.send(new SendMessageCommand({ QueueUrl, MessageBody: '{"a":1}', MessageAttributes }));
      const [message] = await receive(QueueUrl, { VisibilityTimeout: 0 });
      expect(message).toMatchObject({ Body: '{"a":1}', Attributes: { ApproximateReceiveCount: '1' } });
      expect(message?.MessageAttributes).toMatchObject({
        text: MessageAttributes.text,
        number: MessageAttributes.number,
        bytes: { DataType: 'Binary' },
      });
      expect(Buffer.from(message?.MessageAttributes?.['bytes']?.BinaryValue ?? [])).toEqual(Buffer.from([0, 255]));
      expect(await receive(QueueUrl)).toMatchObject([{ Attributes: { ApproximateReceiveCount: '2' } }]);
    });

    it('hides a received message until its visibility timeout ends or is set to zero', async () => {
      const QueueUrl = await create({ VisibilityTimeout: '1' });
      await send(QueueUrl, 'one');
      const [first] = await receive(QueueUrl);
      expect(await receive(QueueUrl)).toEqual([]);
      const change = { QueueUrl, ReceiptHandle: first?.ReceiptHandle, VisibilityTimeout: 30 };
      await client.send(new ChangeMessageVisibilityCommand(change));
      await sleep(1300);
      expect(await receive(QueueUrl)).toEqual([]);
      const Entries = [{ Id: 'x', ReceiptHandle: first?.ReceiptHandle ?? '', VisibilityTimeout: 0 }];
      await client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }));
      expect(bodiesOf(await receive(QueueUrl))).toEqual(['one']);
      await sleep(1300);
      expect(bodiesOf(await receive(QueueUrl))).toEqual(['one']);
    });

    it('does not deliver a deleted message again', async () => {
      const QueueUrl = await create({ VisibilityTimeout: '1' });
      await send(QueueUrl, 'one', 'two', 'three');
      const [one, two] = await receive(QueueUrl);
      await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: one?.ReceiptHandle }));
      const Entries = [{ Id: 'x', ReceiptHandle: two?.ReceiptHandle }];
      const { Successful } = await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
      expect(Successful).toEqual([{ Id: 'x' }]);
      await sleep(1300);
      expect(bodiesOf(await receive(QueueUrl))).toEqual(['three']);
    });

    it('waits for a message during a long poll', async () => {
      const QueueUrl = await create();
      const waiting = receive(QueueUrl, { WaitTimeSeconds: 10 });
      await sleep(200);
      await send(QueueUrl, 'late');
      expect(bodiesOf(await waiting)).toEqual(['late']);
    });

    it("delivers a group's next message only after the group's earlier messages are deleted", async () => {
      const QueueUrl = await createFifo();
      await sendInGroups(QueueUrl, 'a1', 'a2', 'b1', 'a3');
      const received = await receive(QueueUrl, { MaxNumberOfMessages: 2 });
      expect(bodiesOf(received)).toEqual(['a1', 'a2']);
      expect(bodiesOf(await receive(QueueUrl))).toEqual(['b1']);
      const remove = ({ ReceiptHandle }: Message): Promise<unknown> =>
        client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
      await remove(received[0] ?? {});
      expect(await receive(QueueUrl)).toEqual([]);
      await remove(received[1] ?? {});
      expect(bodiesOf(await receive(QueueUrl))).toEqual(['a3']);
    });

    const mostOfGroup = lacks.orderOfReturn === true ? 1 : 2;
    it("delivers a group's messages in their original order after some received messages have become visible again", async () => {
      const QueueUrl = await createFifo({ VisibilityTimeout: '60' });
      await sendInGroups(QueueUrl, 'a1', 'a2', 'a3');
      const received = await receive(QueueUrl, { MaxNumberOfMessages: mostOfGroup });
      const Entries = received.map(({ ReceiptHandle = '' }, i) => ({
        Id: String(i),
        ReceiptHandle,
        VisibilityTimeout: 1,
      }));
      await client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }));
      expect(await receive(QueueUrl)).toEqual([]);
      await sleep(1300);
      expect(bodiesOf(await receive(QueueUrl))).toEqual(['a1', 'a2', 'a3']);
    });

    it('drops a second message with the same deduplication ID', async () => {
      const QueueUrl = await createFifo();
      const message = { QueueUrl, MessageGroupId: 'a', MessageDeduplicationId: 'same' };
      await client.send(new SendMessageCommand({ ...message, MessageBody: 'first' }));
      await client.send(new SendMessageCommand({ ...message, MessageBody: 'second' }));
      expect(bodiesOf(await receive(QueueUrl))).toEqual(['first']);
    });

    it('moves a message to the dead-letter queue with its attributes after too many receives', async () => {
      const deadLetters = await create();
      const RedrivePolicy = JSON.stringify({ maxReceiveCount: 2, deadLetterTargetArn: await arnOf(deadLetters) });
      const QueueUrl = await create({ RedrivePolicy });
      const MessageAttributes = { kind: { DataType: 'String', StringValue: 'poison' } };
      await client.send(new SendMessageCommand({ QueueUrl, MessageBody: 'bad', MessageAttributes }));
      for (let i = 0; i < 2; i += 1) {
        const [message] = await receive(QueueUrl);
        const { ReceiptHandle } = message ?? {};
        await client.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }));
      }
      expect(await receive(QueueUrl)).toEqual([]);
      expect(await receive(deadLetters)).toMatchObject([{ Body: 'bad', MessageAttributes }]);
    });

    it('finds a queue by its name, and throws QueueDoesNotExist if no queue has that name', async () => {
      const QueueUrl = await create();
      const found = await client.send(new GetQueueUrlCommand({ QueueName: QueueUrl.split('/').at(-1) }));
      expect(found.QueueUrl).toBe(QueueUrl);
      const sending = client.send(new GetQueueUrlCommand({ QueueName: 'nowhere' }));
      expect(await errorOf(sending)).toMatchObject({ name: expect.stringMatching(/QueueDoesNotExist/) as string });
    });

    it.for([
      ['more than ten messages', Array.from({ length: 11 }, (_, i) => entry(i, 'x'))],
      ['more than 1 MiB in all', [0, 1].map((i) => entry(i, 'x'.repeat(600_000)))],
      ['two entries with the same id', [entry(1, 'x'), entry(1, 'y')]],
    ] as const)('refuses a batch with %s', async ([, Entries]) => {
      const QueueUrl = await create();
      const sending = client.send(new SendMessageBatchCommand({ QueueUrl, Entries: [...Entries] }));
      expect(await errorOf(sending)).toMatchObject({ $fault: 'client' });
    });
  });
}

function entry(id: number, MessageBody: string): SendMessageBatchRequestEntry {
  return { Id: String(id), MessageBody };
}

function bodiesOf(messages: readonly Message[]): string[] {
  return messages.map(({ Body = '' }) => Body);
}
