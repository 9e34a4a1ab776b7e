import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SQSClient,
  type Message,
  type SendMessageBatchRequestEntry,
} from '@aws-sdk/client-sqs';
import { Seeded } from '../../support/seeded.ts';

/** A message of the load: its position, and whether the function is able to process it. */
export interface Planned {
  readonly place: number;
  readonly isPoison: boolean;
  readonly entry: SendMessageBatchRequestEntry;
}

/** A queue of the SQS emulator, used over HTTP. */
export class WireQueue {
  readonly url: string;
  readonly arn: string;
  readonly #client: SQSClient;

  private constructor(client: SQSClient, url: string, arn: string) {
    this.#client = client;
    this.url = url;
    this.arn = arn;
  }

  static async create(endpoint: string, name: string, attributes: Record<string, string> = {}): Promise<WireQueue> {
    const client = new SQSClient({ endpoint, region: 'us-west-2', md5: false });
    const Attributes = { ...(name.endsWith('.fifo') && { FifoQueue: 'true' }), ...attributes };
    const { QueueUrl = '' } = await client.send(new CreateQueueCommand({ QueueName: name, Attributes }));
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] });
    return new WireQueue(client, QueueUrl, (await client.send(command)).Attributes?.['QueueArn'] ?? '');
  }

  async send(entries: readonly SendMessageBatchRequestEntry[]): Promise<void> {
    for (let i = 0; i < entries.length; i += 10) {
      const Entries = entries.slice(i, i + 10);
      await this.#client.send(new SendMessageBatchCommand({ QueueUrl: this.url, Entries }));
    }
  }

  /** Receives up to ten messages. Waits up to a second for the first. */
  async take(): Promise<Message[]> {
    const QueueUrl = this.url;
    const command = new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: 1,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['All'],
    });
    const { Messages = [] } = await this.#client.send(command);
    if (Messages.length === 0) return [];
    const Entries = Messages.map(({ ReceiptHandle }, i) => ({ Id: String(i), ReceiptHandle }));
    await this.#client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
    return Messages;
  }

  /** Receives and deletes messages until `isOver` returns true and the queue is empty. */
  async drain(into: Message[], isOver: () => boolean): Promise<void> {
    for (;;) {
      const wasOver = isOver();
      const some = await this.take();
      into.push(...some);
      if (some.length === 0 && wasOver) return;
    }
  }

  /** Whether the queue contains no message, visible or in flight. */
  async isEmpty(): Promise<boolean> {
    const command = new GetQueueAttributesCommand({ QueueUrl: this.url, AttributeNames: ['All'] });
    const { Attributes = {} } = await this.#client.send(command);
    return (
      Attributes['ApproximateNumberOfMessages'] === '0' && Attributes['ApproximateNumberOfMessagesNotVisible'] === '0'
    );
  }

  /** Resolves when the queue is empty. */
  async emptied(): Promise<void> {
    while (!(await this.isEmpty())) await sleep(100);
  }
}

const PARTITIONS = 20;
const GROUPS = 25;
const POISON = [
  'no JSON',
  '{"partition":"p"}',
  '{"partition":"p","document":{},"fields":["$.secret"]}',
  '{"partition":"p","operation":"decrypt","record":"kf1.AA"}',
  `{"partition":"p","operation":"decrypt-fields","document":{"secret":"kf1j.${'A'.repeat(250)}"},"all":true}`,
];

/** Makes this number of messages, one in a hundred of them invalid. For a FIFO queue, they belong to 25 groups. */
export function planLoad(messages: number, kind: 'standard' | 'fifo', seed: number): Planned[] {
  const random = new Seeded(seed);
  return Array.from({ length: messages }, (_, place) => {
    const isPoison = place % 100 === 50;
    const document = { place, secret: secretOf(place) };
    const entry = {
      Id: String(place),
      MessageBody: isPoison
        ? random.of(POISON)
        : JSON.stringify({ partition: partitionOf(place), document, fields: ['$.secret'] }),
      MessageAttributes: { place: { DataType: 'Number', StringValue: String(place) } },
      ...(kind === 'fifo' && { MessageGroupId: groupOf(place), MessageDeduplicationId: String(place) }),
    };
    return { place, isPoison, entry };
  });
}

/** Returns the secret value in a message's document. */
export function secretOf(place: number): string {
  return `secret of ${place}`;
}

/** Returns the partition whose keys seal a message's secret. */
export function partitionOf(place: number): string {
  return `tenant-${place % PARTITIONS}`;
}

/** Returns a message's group in a FIFO queue. */
export function groupOf(place: number): string {
  return `group-${place % GROUPS}`;
}
