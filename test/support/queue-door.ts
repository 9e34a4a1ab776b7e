import { readFileSync } from 'node:fs';
import type { SQSEvent, SQSRecord } from 'aws-lambda';
import type { DoorConfig } from '../../src/config/app-config.ts';
import type { QueueConfig } from '../../src/config/queue-config.ts';
import { queueDoor } from '../../src/doors/queue.ts';
import { createTelemetry } from '../../src/doors/telemetry.ts';
import type { OutgoingMessage } from '../../src/sqs/message.ts';
import type { VisibilityChange, Queues, SendFault } from '../../src/sqs/queues.ts';
import { FakeDependencies } from './fakes.ts';
import { DOOR_CONFIG, lambdaContext } from './http-door.ts';

export const OUTPUT = 'https://sqs.us-west-2.amazonaws.com/111122223333/keyfold-output';
export const DEAD_LETTERS = 'https://sqs.us-west-2.amazonaws.com/111122223333/keyfold-dead-letters';

/** The configuration of the queue's function in tests. */
export const QUEUE_CONFIG: QueueConfig = {
  outputUrl: OUTPUT,
  deadLetterUrl: DEAD_LETTERS,
  fields: undefined,
  retryDelaySeconds: 5,
  longestRetryDelaySeconds: 900,
};

/** Returns the error for a message that cannot be sent, if any. The fake calls this for each message in each call. */
type Interference = (queueUrl: string, message: OutgoingMessage, call: number) => SendFault | undefined;

/** Fake queues that keep the messages that they receive. A test can make calls fail. */
export class FakeQueues implements Queues {
  /** The messages of each call, including calls that failed. */
  readonly calls: { readonly queueUrl: string; readonly messages: readonly OutgoingMessage[] }[] = [];
  readonly postponed: VisibilityChange[] = [];
  /** The queue of each call that changes the visibility of messages. */
  readonly postponedIn: string[] = [];
  faultOf: Interference = () => undefined;
  /** Each call waits for this promise before it returns. */
  delay: (messages: readonly OutgoingMessage[]) => Promise<void> = () => Promise.resolve();
  postponeFaults: readonly string[] = [];
  readonly #taken: { readonly queueUrl: string; readonly message: OutgoingMessage }[] = [];

  async send(queueUrl: string, messages: readonly OutgoingMessage[]): Promise<(SendFault | undefined)[]> {
    const call = this.calls.push({ queueUrl, messages });
    await this.delay(messages);
    return messages.map((message) => {
      const fault = this.faultOf(queueUrl, message, call);
      if (fault === undefined) this.#taken.push({ queueUrl, message });
      return fault;
    });
  }

  changeVisibility(queueArn: string, messages: readonly VisibilityChange[]): Promise<readonly string[]> {
    this.postponedIn.push(queueArn);
    this.postponed.push(...messages);
    return Promise.resolve(this.postponeFaults);
  }

  /** The messages that a queue accepted, in order. */
  in(queueUrl: string): OutgoingMessage[] {
    return this.#taken.filter((one) => one.queueUrl.startsWith(queueUrl)).map(({ message }) => message);
  }
}

/** A record from one of the events in events/, with some members replaced. */
export function queueRecord(
  messageId: string,
  body: unknown,
  {
    groupId,
    receiveCount = 1,
    attributes = {},
  }: { groupId?: string; receiveCount?: number; attributes?: SQSRecord['messageAttributes'] } = {},
): SQSRecord {
  const sample = sampleRecord(groupId === undefined ? 'queue-standard' : 'queue-fifo');
  return {
    ...sample,
    messageId,
    receiptHandle: `handle of ${messageId}`,
    body: typeof body === 'string' ? body : JSON.stringify(body),
    attributes: {
      ...sample.attributes,
      ApproximateReceiveCount: String(receiveCount),
      ...(groupId !== undefined && { MessageGroupId: groupId }),
    },
    messageAttributes: attributes,
  };
}

/** The only record of a sample event. */
export function sampleRecord(name: 'queue-standard' | 'queue-fifo'): SQSRecord {
  const text = readFileSync(new URL(`../../events/${name}.json`, import.meta.url), 'utf8');
  return (JSON.parse(text) as SQSEvent).Records[0] as SQSRecord;
}

/** A message that requests the encryption of one field of a small document. */
export function sealing(value: unknown = 'secret', partition = 'tenant-1'): object {
  return { partition, document: { value }, fields: ['$.value'] };
}

/**
 * Opens a queue door on fakes. Returns a function that handles records, and returns the IDs of the records that go back
 * to the queue.
 */
export function openQueueDoor(
  options: {
    world?: FakeDependencies;
    queues?: FakeQueues;
    config?: Partial<DoorConfig>;
    queue?: Partial<QueueConfig>;
    now?: () => number;
  } = {},
): (records: readonly SQSRecord[], remainingMs?: number) => Promise<string[]> {
  const { world = new FakeDependencies(), queues = new FakeQueues() } = options;
  const now = options.now ?? world.clock.now;
  const handler = queueDoor({
    keyfold: world.process({ now }),
    telemetry: createTelemetry('svc'),
    now,
    queues,
    config: { ...DOOR_CONFIG, serves: { operations: ['encrypt-fields'] }, ...options.config },
    queue: { ...QUEUE_CONFIG, ...options.queue },
  });
  return async (records, remainingMs = 30_000) => {
    const { batchItemFailures } = await handler({ Records: [...records] }, lambdaContext(remainingMs));
    return batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
  };
}

/** The same queues as FIFO queues. */
export const FIFO = { outputUrl: `${OUTPUT}.fifo`, deadLetterUrl: `${DEAD_LETTERS}.fifo` };
