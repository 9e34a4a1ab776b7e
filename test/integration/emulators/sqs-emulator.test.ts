import { createHash } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { text as textOf } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  PurgeQueueCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
  SQSClient,
  type SendMessageCommandInput,
} from '@aws-sdk/client-sqs';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ACTIONS } from '../../../emulators/sqs/actions.ts';
import { Input } from '../../../emulators/sqs/input.ts';
import { queryCode, readForm, toXml } from '../../../emulators/sqs/query-protocol.ts';
import { QueueStore } from '../../../emulators/sqs/queue-store.ts';
import { startSqsEmulator, type SqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import { SqsError } from '../../../emulators/sqs/sqs-error.ts';

/** The queue attributes of SQS that the emulator refuses. */
const UNSUPPORTED = [
  'DeduplicationScope',
  'FifoThroughputLimit',
  'KmsDataKeyReusePeriodSeconds',
  'KmsMasterKeyId',
  'Policy',
  'RedriveAllowPolicy',
  'SqsManagedSseEnabled',
] as const;

let sqs: SqsEmulator;
let client: SQSClient;
let queues = 0;

beforeAll(async () => {
  sqs = await startSqsEmulator();
  client = new SQSClient({ endpoint: sqs.endpoint, region: 'us-west-2', maxAttempts: 1 });
});
afterAll(() => sqs.close());

function queue(attributes: Record<string, string> = {}, fifo = false): string {
  return sqs.ensureQueue(`queue-${(queues += 1)}${fifo ? '.fifo' : ''}`, attributes).queueUrl;
}

async function nameOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error: unknown) => (error as Error).name,
  );
}

/** The name and the message of the error with which a call fails. */
async function faultIn(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error: unknown) => `${(error as Error).name}: ${(error as Error).message}`,
  );
}

const send = (QueueUrl: string, more: Partial<SendMessageCommandInput> = {}): Promise<unknown> =>
  client.send(new SendMessageCommand({ QueueUrl, MessageBody: 'x', ...more }));
const create = (QueueName: string, Attributes: Record<string, string>): Promise<unknown> =>
  client.send(new CreateQueueCommand({ QueueName, Attributes }));

const list = async (QueueNamePrefix?: string): Promise<unknown> =>
  (await client.send(new ListQueuesCommand({ QueueNamePrefix }))).QueueUrls;
const receiveAll = async (QueueUrl: string): Promise<unknown> =>
  (await client.send(new ReceiveMessageCommand({ QueueUrl, MessageSystemAttributeNames: ['All'] }))).Messages;

const DEAD_LETTERS = '"deadLetterTargetArn":"arn:aws:sqs:us-west-2:111122223333:letters"';
const attribute = (value: object): Partial<SendMessageCommandInput> => ({ MessageAttributes: { a: value as never } });

describe('SQS emulator: queues', () => {
  it('content-based deduplication uses the SHA-256 of the body as the deduplication ID', async () => {
    const QueueUrl = queue({ ContentBasedDeduplication: 'true' }, true);
    await send(QueueUrl, { MessageGroupId: 'g' });
    await send(QueueUrl, { MessageGroupId: 'g' });
    const MessageSystemAttributeNames = ['MessageDeduplicationId' as const];
    const command = new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, MessageSystemAttributeNames });
    const { Messages = [] } = await client.send(command);
    const MessageDeduplicationId = createHash('sha256').update('x').digest('hex');
    expect(Messages.map(({ Attributes }) => Attributes)).toEqual([{ MessageDeduplicationId }]);
  });

  it.for([
    ...UNSUPPORTED.map((name) => [`the attribute ${name}`, { [name]: 'x' }, 'UnsupportedOperation']),
    ['an unknown attribute', { Colour: 'red' }, 'InvalidAttributeName'],
    ['a read-only attribute', { QueueArn: 'x' }, 'InvalidAttributeName'],
    ['a visibility timeout above 12 hours', { VisibilityTimeout: '43201' }, 'InvalidAttributeValue'],
    ['an empty visibility timeout', { VisibilityTimeout: '' }, 'InvalidAttributeValue'],
    ['a delay with a fraction', { DelaySeconds: '1.5' }, 'InvalidAttributeValue'],
    ['a delay above 900 seconds', { DelaySeconds: '901' }, 'InvalidAttributeValue'],
    ['a maximum message size below 1 KiB', { MaximumMessageSize: '1023' }, 'InvalidAttributeValue'],
    ['a maximum message size above 1 MiB', { MaximumMessageSize: '1048577' }, 'InvalidAttributeValue'],
    ['a retention period above 14 days', { MessageRetentionPeriod: '1209601' }, 'InvalidAttributeValue'],
    ['a retention period below 60 seconds', { MessageRetentionPeriod: '59' }, 'InvalidAttributeValue'],
    ['a wait time above 20 seconds', { ReceiveMessageWaitTimeSeconds: '21' }, 'InvalidAttributeValue'],
    ['content-based deduplication for a standard queue', { ContentBasedDeduplication: 'true' }, 'InvalidAttributeName'],
    ['FifoQueue for a standard queue', { FifoQueue: 'false' }, 'InvalidAttributeName'],
    ['a redrive policy that is not JSON', { RedrivePolicy: '{' }, 'InvalidParameterValue'],
    ...['0', '1001', '1.5', '"x"', '[5]', 'null'].map((count) => [
      `a redrive policy with maxReceiveCount ${count}`,
      { RedrivePolicy: `{"maxReceiveCount":${count},${DEAD_LETTERS}}` },
      'InvalidParameterValue',
    ]),
    ['a redrive policy without a queue', { RedrivePolicy: '{"maxReceiveCount":5}' }, 'InvalidParameterValue'],
    [
      'a redrive policy with a third member',
      { RedrivePolicy: `{"maxReceiveCount":5,${DEAD_LETTERS},"x":1}` },
      'InvalidParameterValue',
    ],
    [
      'a redrive policy with an invalid queue ARN',
      { RedrivePolicy: '{"maxReceiveCount":5,"deadLetterTargetArn":"x"}' },
      'InvalidParameterValue',
    ],
  ] as [string, Record<string, string>, string][])(
    'CreateQueue and SetQueueAttributes refuse %s',
    async ([, attributes, name]) => {
      const QueueUrl = queue();
      expect(await nameOf(create('refused', attributes))).toBe(name);
      const command = new SetQueueAttributesCommand({ QueueUrl, Attributes: attributes });
      expect(await nameOf(client.send(command))).toBe(name);
      const { Attributes = {} } = await client.send(
        new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }),
      );
      expect(Attributes).toMatchObject({ VisibilityTimeout: '30', MaximumMessageSize: '1048576' });
    },
  );

  it.for([
    ['a number', '1'],
    ['text', '"1"'],
    ['the largest number', '1000'],
  ] as const)('SetQueueAttributes accepts a redrive policy whose maxReceiveCount is %s', async ([, count]) => {
    sqs.ensureQueue('letters');
    const Attributes = { RedrivePolicy: `{"maxReceiveCount":${count},${DEAD_LETTERS}}` };
    const command = new SetQueueAttributesCommand({ QueueUrl: queue(), Attributes });
    expect(await nameOf(client.send(command))).toBe('no error');
  });

  it('a queue has the same defaults as in SQS, and GetQueueAttributes returns only the requested attributes', async () => {
    const nowSeconds = Math.floor(Date.now() / 1000);
    vi.useFakeTimers({ toFake: ['Date'], now: nowSeconds * 1000 + 999 });
    const { queueUrl: QueueUrl, queueArn: QueueArn } = sqs.ensureQueue('defaults');
    vi.setSystemTime((nowSeconds + 5) * 1000);
    await client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { DelaySeconds: '1' } }));
    vi.useRealTimers();
    const read = async (...names: string[]): Promise<unknown> =>
      (await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: names as ['All'] }))).Attributes;
    expect(await read('All')).toEqual({
      DelaySeconds: '1',
      MaximumMessageSize: '1048576',
      MessageRetentionPeriod: '345600',
      ReceiveMessageWaitTimeSeconds: '0',
      VisibilityTimeout: '30',
      QueueArn,
      CreatedTimestamp: String(nowSeconds),
      LastModifiedTimestamp: String(nowSeconds + 5),
      ApproximateNumberOfMessages: '0',
      ApproximateNumberOfMessagesNotVisible: '0',
      ApproximateNumberOfMessagesDelayed: '0',
    });
    expect(await read('QueueArn', 'RedrivePolicy')).toEqual({ QueueArn });
    for (const names of [[], ['RedrivePolicy']]) expect(await read(...names)).toBeUndefined();
  });

  it('ListQueues returns the URLs of the queues whose names begin with the prefix', async () => {
    const [first, second] = ['listed-1', 'listed-2'].map((name) => sqs.ensureQueue(name).queueUrl);
    const other = sqs.ensureQueue('not-listed-1').queueUrl;
    expect(await list('listed-')).toEqual([first, second]);
    expect(await list('listed-3')).toBeUndefined();
    expect(await list()).toEqual(expect.arrayContaining([first, second, other]));
  });

  it.for([
    [
      'minimum',
      {
        VisibilityTimeout: '0',
        DelaySeconds: '0',
        MaximumMessageSize: '1024',
        MessageRetentionPeriod: '60',
        ReceiveMessageWaitTimeSeconds: '0',
      },
    ],
    [
      'maximum',
      {
        VisibilityTimeout: '43200',
        DelaySeconds: '900',
        MaximumMessageSize: '1048576',
        MessageRetentionPeriod: '1209600',
        ReceiveMessageWaitTimeSeconds: '20',
      },
    ],
  ] as [string, Record<string, string>][])(
    'SetQueueAttributes accepts the %s of each attribute',
    async ([, attributes]) => {
      const QueueUrl = queue();
      await client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: attributes }));
      const all = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] });
      expect((await client.send(all)).Attributes).toMatchObject(attributes);
    },
  );

  it('GetQueueAttributes counts the messages that are visible, in flight and delayed', async () => {
    const QueueUrl = queue();
    for (const DelaySeconds of [0, 0, 0, 900]) await send(QueueUrl, { DelaySeconds });
    await client.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 1 }));
    const all = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] });
    expect((await client.send(all)).Attributes).toMatchObject({
      ApproximateNumberOfMessages: '2',
      ApproximateNumberOfMessagesNotVisible: '1',
      ApproximateNumberOfMessagesDelayed: '1',
    });
  });

  it('SetQueueAttributes refuses a request without attributes', async () => {
    const command = new SetQueueAttributesCommand({ QueueUrl: queue(), Attributes: undefined });
    expect(await nameOf(client.send(command))).toBe('MissingParameter');
  });

  it('a FIFO queue shows its type and its deduplication setting, and cannot become a standard queue', async () => {
    const QueueUrl = queue({}, true);
    const all = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] });
    expect((await client.send(all)).Attributes).toMatchObject({
      FifoQueue: 'true',
      ContentBasedDeduplication: 'false',
    });
    expect(
      await nameOf(create(QueueUrl.replace(/.*\//, ''), { FifoQueue: 'true', ContentBasedDeduplication: 'false' })),
    ).toBe('no error');
    const set = (Attributes: Record<string, string>): Promise<string> =>
      nameOf(client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes })));
    expect(await set({ FifoQueue: 'true', VisibilityTimeout: '7' })).toBe('no error');
    for (const FifoQueue of ['false', 'x']) expect(await set({ FifoQueue })).toBe('InvalidAttributeValue');
    for (const value of ['x', ''])
      expect(await set({ ContentBasedDeduplication: value })).toBe('InvalidAttributeValue');
    for (const value of ['true', 'false']) expect(await set({ ContentBasedDeduplication: value })).toBe('no error');
    expect((await client.send(all)).Attributes).toMatchObject({ FifoQueue: 'true', VisibilityTimeout: '7' });
  });

  it('CreateQueue refuses the name of an existing queue if the attributes differ', async () => {
    await create('twice', { VisibilityTimeout: '7' });
    expect(await nameOf(create('twice', { VisibilityTimeout: '7' }))).toBe('no error');
    expect(await nameOf(create('twice', { VisibilityTimeout: '8' }))).toBe('QueueNameExists');
  });

  it('a changed attribute takes effect at once, and a queue cannot be found under another account', async () => {
    const QueueUrl = queue();
    await client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { MaximumMessageSize: '1024' } }));
    expect(await nameOf(send(QueueUrl, { MessageBody: 'x'.repeat(1025) }))).toBe('InvalidParameterValue');
    expect(await nameOf(send(QueueUrl.replace('111122223333', '999999999999')))).toBe('QueueDoesNotExist');
    const QueueName = QueueUrl.replace(/.*\//, '');
    const urlOf = (QueueOwnerAWSAccountId: string): GetQueueUrlCommand =>
      new GetQueueUrlCommand({ QueueName, QueueOwnerAWSAccountId });
    expect((await client.send(urlOf('111122223333'))).QueueUrl).toBe(QueueUrl);
    expect(await nameOf(client.send(urlOf('999999999999')))).toBe('QueueDoesNotExist');
    const names = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['Colour' as never] });
    expect(await nameOf(client.send(names))).toBe('InvalidAttributeName');
  });

  it.for(UNSUPPORTED)(
    'GetQueueAttributes refuses the unsupported attribute %s instead of returning nothing',
    async (name) => {
      const command = new GetQueueAttributesCommand({ QueueUrl: queue({}, true), AttributeNames: ['QueueArn', name] });
      await expect(client.send(command)).rejects.toMatchObject({
        name: 'UnsupportedOperation',
        message: `The emulator does not support the attribute ${name}.`,
      });
    },
  );

  it('SetQueueAttributes refuses to make a queue its own dead-letter queue', async () => {
    const { queueUrl, queueArn } = sqs.ensureQueue('own-letters');
    const RedrivePolicy = JSON.stringify({ maxReceiveCount: 1, deadLetterTargetArn: queueArn });
    const command = new SetQueueAttributesCommand({ QueueUrl: queueUrl, Attributes: { RedrivePolicy } });
    expect(await nameOf(client.send(command))).toBe('UnsupportedOperation');
  });

  it('a message is dropped when it is older than MessageRetentionPeriod', async () => {
    const [QueueUrl, counted] = [queue({ MessageRetentionPeriod: '60' }), queue({ MessageRetentionPeriod: '60' })];
    const sentMs = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: sentMs });
    for (const url of [QueueUrl, counted]) await send(url);
    const all = new GetQueueAttributesCommand({ QueueUrl: counted, AttributeNames: ['All'] });
    const count = async (): Promise<unknown> => (await client.send(all)).Attributes?.ApproximateNumberOfMessages;
    vi.setSystemTime(sentMs + 60_000);
    expect(await count()).toBe('1');
    vi.setSystemTime(sentMs + 60_001);
    expect(await count()).toBe('0');
    expect((await client.send(new ReceiveMessageCommand({ QueueUrl }))).Messages).toBeUndefined();
    vi.useRealTimers();
  });
});

const setMaxReceiveCount = (QueueUrl: string, maxReceiveCount: unknown): Promise<unknown> => {
  const { queueArn: deadLetterTargetArn } = sqs.ensureQueue('letters');
  const RedrivePolicy = JSON.stringify({ maxReceiveCount, deadLetterTargetArn });
  return client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { RedrivePolicy } }));
};

describe('SQS emulator: redrive policies', () => {
  it('a redrive policy has a maxReceiveCount from 1 to 1000, either as a number or as a string of digits', async () => {
    const QueueUrl = queue();
    for (const count of [1, 1000, '1', '1000'])
      expect([count, await nameOf(setMaxReceiveCount(QueueUrl, count))]).toContain('no error');
    const refused = [
      0,
      1001,
      1.5,
      -1,
      '0',
      '1001',
      '',
      ' 5',
      '5 ',
      '+5',
      '-5',
      '0x5',
      '5e0',
      '5.0',
      'x',
      true,
      null,
      [5],
      {},
    ];
    for (const count of refused)
      expect([count, await nameOf(setMaxReceiveCount(QueueUrl, count))]).toContain('InvalidParameterValue');
  });

  it.for([
    '[]',
    '5',
    'null',
    '"x"',
    '{}',
    `{"maxReceiveCount":5}`,
    `{${DEAD_LETTERS}}`,
    `{"maxReceiveCount":5,${DEAD_LETTERS},"x":1}`,
    `{"maxReceiveCount":5,${DEAD_LETTERS.replace('us-west-2', 'us-east-1')}}`,
    `{"maxReceiveCount":5,${DEAD_LETTERS.replace('111122223333', '444455556666')}}`,
    `{"maxReceiveCount":5,${DEAD_LETTERS.replace(':letters', ':other-letters')}}`,
  ])('SetQueueAttributes refuses the redrive policy %s', async (RedrivePolicy) => {
    sqs.ensureQueue('letters');
    const command = new SetQueueAttributesCommand({ QueueUrl: queue(), Attributes: { RedrivePolicy } });
    expect(await nameOf(client.send(command))).toBe('InvalidParameterValue');
  });

  it('a queue and its dead-letter queue must both be standard queues or both be FIFO queues', async () => {
    const { queueArn } = sqs.ensureQueue('letters.fifo');
    const RedrivePolicy = JSON.stringify({ maxReceiveCount: 5, deadLetterTargetArn: queueArn });
    const command = (QueueUrl: string): SetQueueAttributesCommand =>
      new SetQueueAttributesCommand({ QueueUrl, Attributes: { RedrivePolicy } });
    expect(await nameOf(client.send(command(queue({}, true))))).toBe('no error');
    expect(await nameOf(client.send(command(queue())))).toBe('InvalidParameterValue');
  });

  it('an empty redrive policy removes the policy', async () => {
    const QueueUrl = queue({ VisibilityTimeout: '0' });
    await setMaxReceiveCount(QueueUrl, 1);
    await client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { RedrivePolicy: '' } }));
    const all = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] });
    expect(Object.keys((await client.send(all)).Attributes ?? {})).not.toContain('RedrivePolicy');
    await send(QueueUrl);
    for (let i = 0; i < 3; i += 1) {
      expect((await client.send(new ReceiveMessageCommand({ QueueUrl }))).Messages).toHaveLength(1);
    }
    const again = create(QueueUrl.replace(/.*\//, ''), { VisibilityTimeout: '0', RedrivePolicy: '' });
    expect(await nameOf(again)).toBe('no error');
  });
});

const sendInGroup = (QueueUrl: string, body: string, more: Partial<SendMessageCommandInput> = {}): Promise<unknown> =>
  send(QueueUrl, { MessageBody: body, MessageGroupId: body.charAt(0), MessageDeduplicationId: body, ...more });
const receiveBodies = async (QueueUrl: string, MaxNumberOfMessages = 10): Promise<string[]> => {
  const { Messages = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages }));
  return Messages.map(({ Body = '' }) => Body);
};

describe('SQS emulator: message groups', () => {
  afterEach(() => vi.useRealTimers());

  it('a FIFO queue delivers all messages of a group before it continues with the next group', async () => {
    const QueueUrl = queue({}, true);
    for (const body of ['a1', 'b1', 'a2', 'c1', 'b2', 'a3']) await sendInGroup(QueueUrl, body);
    expect(await receiveBodies(QueueUrl, 2)).toEqual(['a1', 'a2']);
    expect(await receiveBodies(QueueUrl)).toEqual(['b1', 'b2', 'c1']);
  });

  it('a standard queue delivers messages with group IDs in the order in which they were sent', async () => {
    const QueueUrl = queue();
    const bodies = ['a1', 'b1', 'a2', 'b2'];
    for (const body of bodies) await sendInGroup(QueueUrl, body, { MessageDeduplicationId: undefined });
    expect(await receiveBodies(QueueUrl)).toEqual(bodies);
  });

  it("in a FIFO queue, the queue's delay applies even to a message with a DelaySeconds of 0", async () => {
    const QueueUrl = queue({ DelaySeconds: '900' }, true);
    await sendInGroup(QueueUrl, 'a1', { DelaySeconds: 0 });
    expect(await receiveBodies(QueueUrl)).toEqual([]);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 900_000 });
    expect(await receiveBodies(QueueUrl)).toEqual(['a1']);
  });

  it('a delayed message does not hold back an earlier message of its group', async () => {
    const QueueUrl = queue({ DelaySeconds: '10' }, true);
    const sentMs = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: sentMs });
    await sendInGroup(QueueUrl, 'a1');
    vi.setSystemTime(sentMs + 9000);
    await sendInGroup(QueueUrl, 'a2');
    expect(await receiveBodies(QueueUrl)).toEqual([]);
    vi.setSystemTime(sentMs + 10_000);
    expect(await receiveBodies(QueueUrl)).toEqual(['a1']);
    vi.setSystemTime(sentMs + 19_000);
    expect(await receiveBodies(QueueUrl)).toEqual([]);
  });

  it.for([
    ['FIFO queue also applies', true],
    ['standard queue does not apply', false],
  ] as const)('a new delay of a %s to messages that are already in the queue', async ([, fifo]) => {
    const QueueUrl = queue({ DelaySeconds: '900' }, fifo);
    const setDelay = (DelaySeconds: string): Promise<unknown> =>
      client.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { DelaySeconds } }));
    const sentMs = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: sentMs });
    await sendInGroup(QueueUrl, 'a1', fifo ? {} : { MessageDeduplicationId: undefined });
    await setDelay('10');
    vi.setSystemTime(sentMs + 9999);
    expect(await receiveBodies(QueueUrl)).toEqual([]);
    vi.setSystemTime(sentMs + 10_000);
    expect(await receiveBodies(QueueUrl)).toEqual(fifo ? ['a1'] : []);
    // The message stays in flight, because a delay applies only until the first receipt.
    await setDelay('0');
    expect(await receiveBodies(QueueUrl)).toEqual([]);
  });
});

describe('SQS emulator: messages', () => {
  it.for([
    [
      'a system attribute',
      { MessageSystemAttributes: { AWSTraceHeader: { DataType: 'String', StringValue: 'x' } } },
      'UnsupportedOperation',
    ],
    ['a deduplication ID for a standard queue', { MessageDeduplicationId: 'x' }, 'InvalidParameterValue'],
    ['a space in its group ID', { MessageGroupId: 'a b' }, 'InvalidParameterValue'],
    ['a delay above 900 seconds', { DelaySeconds: 901 }, 'InvalidParameterValue'],
    ['an unknown attribute type', attribute({ DataType: 'Text', StringValue: 'x' }), 'InvalidParameterValue'],
    ['a word as a number', attribute({ DataType: 'Number', StringValue: 'one' }), 'InvalidParameterValue'],
    ['a number that is too large', attribute({ DataType: 'Number', StringValue: '1e127' }), 'InvalidParameterValue'],
    ['a number that is too small', attribute({ DataType: 'Number', StringValue: '-1e-129' }), 'InvalidParameterValue'],
    ['U+0000 in an attribute', attribute({ DataType: 'String', StringValue: '\u0000' }), 'InvalidParameterValue'],
    ['U+0000 in its body', { MessageBody: '\u0000' }, 'InvalidMessageContents'],
    ['an empty body', { MessageBody: '' }, 'MissingParameter'],
    [
      'bytes in a string attribute',
      attribute({ DataType: 'String', BinaryValue: Buffer.from('x') }),
      'InvalidParameterValue',
    ],
    [
      'a list of strings',
      attribute({ DataType: 'String', StringValue: 'x', StringListValues: ['y'] }),
      'UnsupportedOperation',
    ],
    ['a string in a binary attribute', attribute({ DataType: 'Binary', StringValue: 'x' }), 'InvalidParameterValue'],
    [
      'both a string and bytes in one attribute',
      attribute({ DataType: 'Binary', StringValue: 'x', BinaryValue: Buffer.from('x') }),
      'InvalidParameterValue',
    ],
    ['an empty string attribute', attribute({ DataType: 'String', StringValue: '' }), 'InvalidParameterValue'],
    ['an attribute without a value', attribute({ DataType: 'String' }), 'InvalidParameterValue'],
    [
      'an attribute type of 257 characters',
      attribute({ DataType: `String.${'x'.repeat(250)}`, StringValue: 'x' }),
      'InvalidParameterValue',
    ],
    [
      'eleven attributes',
      {
        MessageAttributes: Object.fromEntries(
          Array.from({ length: 11 }, (_, index) => [`a${index}`, { DataType: 'String', StringValue: 'x' }]),
        ),
      },
      'InvalidParameterValue',
    ],
    [
      'a reserved attribute name',
      { MessageAttributes: { 'AWS.x': { DataType: 'String', StringValue: 'x' } } },
      'InvalidParameterValue',
    ],
  ] as const)('SendMessage refuses a message with %s', async ([, more, name]) => {
    expect(await nameOf(send(queue(), more as Partial<SendMessageCommandInput>))).toBe(name);
  });

  it.for([
    ['ten attributes', Array.from({ length: 10 }, (_, index) => [`a${index}`, 'String', 'x'])],
    ['an attribute type of 256 characters', [['a', `String.${'x'.repeat(249)}`, 'x']]],
    [
      'the smallest and the largest number',
      [-1, 1].flatMap((sign) =>
        ['1e-128', '1e126'].map((size) => [`n${sign}${size}`, 'Number', `${sign < 0 ? '-' : ''}${size}`]),
      ),
    ],
    ['0 as a number', [['n', 'Number', '0e9']]],
  ] as [string, string[][]][])('SendMessage accepts a message with %s', async ([, attributes]) => {
    const MessageAttributes = Object.fromEntries(
      attributes.map(([name, DataType, StringValue]) => [name, { DataType, StringValue }]),
    );
    expect(await nameOf(send(queue(), { MessageAttributes }))).toBe('no error');
  });

  it('the size of a message in bytes includes the names, types and values of its attributes', async () => {
    const QueueUrl = queue({ MaximumMessageSize: '1024' });
    const { length } = 'nameStringotherBinary';
    const sent = (spare: number): Promise<string> =>
      nameOf(
        send(QueueUrl, {
          MessageBody: 'é'.repeat(300),
          MessageAttributes: {
            name: { DataType: 'String', StringValue: 'é'.repeat(100) },
            other: { DataType: 'Binary', BinaryValue: Buffer.alloc(1024 - 800 - length + spare) },
          },
        }),
      );
    expect(await sent(0)).toBe('no error');
    expect(await sent(1)).toBe('InvalidParameterValue');
  });

  it('SendMessage refuses a delay for a FIFO queue, but accepts a DelaySeconds of 0', async () => {
    const more = { MessageGroupId: 'g', MessageDeduplicationId: 'd' };
    expect(await nameOf(send(queue({}, true), { ...more, DelaySeconds: 0 }))).toBe('no error');
    expect(await nameOf(send(queue({}, true), { ...more, DelaySeconds: 1 }))).toBe('InvalidParameterValue');
  });

  it('an invalid entry in a batch fails without affecting the other entries', async () => {
    const Entries = [
      { Id: 'a', MessageBody: 'x' },
      { Id: 'b', MessageBody: '' },
    ];
    const answer = await client.send(new SendMessageBatchCommand({ QueueUrl: queue(), Entries }));
    expect(answer.Successful?.map(({ Id }) => Id)).toEqual(['a']);
    expect(answer.Failed).toMatchObject([{ Id: 'b', SenderFault: true, Code: 'MissingParameter' }]);
  });

  it.for([
    ['SendMessageBatch', 'a number as a body', { MessageBody: 5 }],
    ['SendMessageBatch', 'a boolean as a delay', { MessageBody: 'x', DelaySeconds: true }],
    ['SendMessageBatch', 'a number as an attribute', { MessageBody: 'x', MessageAttributes: { a: 5 } }],
    ['DeleteMessageBatch', 'a number as a receipt handle', { ReceiptHandle: 5 }],
    ['ChangeMessageVisibilityBatch', 'an object as a timeout', { ReceiptHandle: 'x', VisibilityTimeout: {} }],
  ] as const)('%s performs no entry of a batch in which one entry has %s', async ([action, , wrong]) => {
    const QueueUrl = queue();
    await send(QueueUrl, { MessageBody: 'before' });
    const { Messages: [message] = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl }));
    const valid = {
      SendMessageBatch: { MessageBody: 'x' },
      DeleteMessageBatch: { ReceiptHandle: message?.ReceiptHandle },
      ChangeMessageVisibilityBatch: { ReceiptHandle: message?.ReceiptHandle, VisibilityTimeout: 0 },
    }[action];
    const Entries = [
      { Id: 'a', ...valid },
      { Id: 'b', ...wrong },
    ];
    expect(await faultOf(action, JSON.stringify({ QueueUrl, Entries }))).toMatchObject(
      common('SerializationException'),
    );
    const all = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] });
    expect((await client.send(all)).Attributes).toMatchObject({
      ApproximateNumberOfMessages: '0',
      ApproximateNumberOfMessagesNotVisible: '1',
    });
  });

  it('a FIFO queue refuses a whole batch if one entry lacks a required group ID or deduplication ID', async () => {
    const [QueueUrl, byContent] = [queue({}, true), queue({ ContentBasedDeduplication: 'true' }, true)];
    const complete = { Id: 'a', MessageBody: 'x', MessageGroupId: 'g', MessageDeduplicationId: 'd' };
    const lacking = (url: string, member: keyof typeof complete): Promise<string> => {
      const { [member]: _, ...entry } = { ...complete, Id: 'b' };
      return nameOf(client.send(new SendMessageBatchCommand({ QueueUrl: url, Entries: [complete, entry as never] })));
    };
    expect(await lacking(QueueUrl, 'MessageGroupId')).toBe('InvalidParameterValue');
    expect(await lacking(QueueUrl, 'MessageDeduplicationId')).toBe('InvalidParameterValue');
    expect((await client.send(new ReceiveMessageCommand({ QueueUrl }))).Messages).toBeUndefined();
    expect(await lacking(byContent, 'MessageGroupId')).toBe('InvalidParameterValue');
    expect(await lacking(byContent, 'MessageDeduplicationId')).toBe('no error');
  });

  it.for([
    ['a delay', { DelaySeconds: 1 }],
    ['a deduplication ID, which a standard queue refuses', { MessageDeduplicationId: 'd' }],
    ['an invalid delay', { DelaySeconds: 901 }],
  ] as const)(
    'SendMessageBatch reports BatchRequestTooLong above 1 MiB even if the entries have %s',
    async ([, more]) => {
      const entry = { MessageBody: 'x'.repeat(600_000), ...more };
      const Entries = [
        { ...entry, Id: 'a' },
        { ...entry, Id: 'b' },
      ];
      const command = new SendMessageBatchCommand({ QueueUrl: queue(), Entries });
      expect(await nameOf(client.send(command))).toBe('BatchRequestTooLong');
    },
  );

  it.for([
    ['all attributes for the name "All"', ['All'], ['a.one', 'b']],
    ['all attributes for the name "*"', ['*'], ['a.one', 'b']],
    ['all attributes for the name ".*"', ['.*'], ['a.one', 'b']],
    ['only the attribute "a.one" for the name "a.*"', ['a.*'], ['a.one']],
    ['no attribute for the name "a" if the message has only "a.one" and "b"', ['a'], []],
    ['no attribute if the request names no attribute', [], []],
  ] as [string, string[], string[]][])('ReceiveMessage returns %s', async ([, MessageAttributeNames, names]) => {
    const QueueUrl = queue();
    const text = { DataType: 'String', StringValue: 'x' };
    await send(QueueUrl, { MessageAttributes: { 'a.one': text, b: text } });
    const { Messages } = await client.send(new ReceiveMessageCommand({ QueueUrl, MessageAttributeNames }));
    expect(Object.keys(Messages?.[0]?.MessageAttributes ?? {}).toSorted()).toEqual(names);
  });

  it.for([
    [
      'one attribute',
      { timestamp: { DataType: 'Number', StringValue: '1493147359900' } },
      '235c5c510d26fb653d073faed50ae77c',
    ],
    [
      'two attributes of different types',
      {
        b: { DataType: 'Binary.png', BinaryValue: Buffer.from([0, 255]) },
        a: { DataType: 'String', StringValue: 'é' },
      },
      'dbdafc6755cea9e8925faf9e6a917917',
    ],
  ] as const)('SendMessage and ReceiveMessage return the MD5 of %s', async ([, MessageAttributes, md5]) => {
    const QueueUrl = queue();
    expect(await send(QueueUrl, { MessageAttributes })).toMatchObject({ MD5OfMessageAttributes: md5 });
    const command = new ReceiveMessageCommand({ QueueUrl, MessageAttributeNames: ['All'] });
    expect((await client.send(command)).Messages).toMatchObject([{ MD5OfMessageAttributes: md5 }]);
  });

  it('ReceiveMessage returns only the requested attributes', async () => {
    const QueueUrl = queue();
    const text = { DataType: 'String', StringValue: 'x' };
    await send(QueueUrl, { MessageAttributes: { 'a.one': text, b: text } });
    const receive = (more: object): ReceiveMessageCommand =>
      new ReceiveMessageCommand({ QueueUrl, VisibilityTimeout: 0, ...more });
    const { Messages: [message] = [] } = await client.send(
      receive({ MessageAttributeNames: ['a.*'], MessageSystemAttributeNames: ['ApproximateReceiveCount'] }),
    );
    expect(message?.MessageAttributes).toEqual({ 'a.one': text });
    expect(message?.Attributes).toEqual({ ApproximateReceiveCount: '1' });
    const other = await client.send(receive({ MessageSystemAttributeNames: ['MessageGroupId'] }));
    expect(other.Messages?.[0]).not.toHaveProperty('Attributes');
    expect(await nameOf(client.send(receive({ MessageSystemAttributeNames: ['Colour'] })))).toBe(
      'InvalidAttributeName',
    );
    expect(await nameOf(client.send(receive({ ReceiveRequestAttemptId: 'x' })))).toBe('UnsupportedOperation');
  });

  it.for([
    ['MaxNumberOfMessages', 1, 10],
    ['VisibilityTimeout', 0, 43_200],
    ['WaitTimeSeconds', 0, 20],
  ] as const)('ReceiveMessage accepts only a %s from %i to %i', async ([name, min, max]) => {
    const QueueUrl = queue();
    const receive = async (value: number): Promise<string> => {
      // A new message ends a long poll immediately.
      await send(QueueUrl);
      return nameOf(client.send(new ReceiveMessageCommand({ QueueUrl, [name]: value })));
    };
    for (const value of [min, max]) expect(await receive(value)).toBe('no error');
    for (const value of [min - 1, max + 1]) expect(await receive(value)).toBe('InvalidParameterValue');
  });

  it('SendMessage accepts only a DelaySeconds from 0 to 900', async () => {
    const QueueUrl = queue();
    for (const DelaySeconds of [0, 900]) expect(await nameOf(send(QueueUrl, { DelaySeconds }))).toBe('no error');
    for (const DelaySeconds of [-1, 901]) {
      expect(await nameOf(send(QueueUrl, { DelaySeconds }))).toBe('InvalidParameterValue');
    }
  });

  it('DeleteMessage responds with the status 404 to a malformed receipt handle, in both protocols', async () => {
    const QueueUrl = queue();
    const failure = client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: 'x' }));
    await expect(failure).rejects.toMatchObject({
      name: 'ReceiptHandleIsInvalid',
      $metadata: { httpStatusCode: 404 },
    });
    expect((await post({ Action: 'DeleteMessage', QueueUrl, ReceiptHandle: 'x' })).status).toBe(404);
  });

  it('after its visibility timeout, a received message can be deleted from a standard queue, but not from a FIFO queue', async () => {
    for (const [fifo, outcome] of [
      [true, 'InvalidParameterValue: The receipt handle has expired.'],
      [false, 'no error'],
    ] as const) {
      const QueueUrl = queue({ VisibilityTimeout: '0' }, fifo);
      await send(QueueUrl, fifo ? { MessageGroupId: 'g', MessageDeduplicationId: 'd' } : {});
      const { Messages: [message] = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl }));
      const command = new DeleteMessageCommand({ QueueUrl, ReceiptHandle: message?.ReceiptHandle });
      expect(await faultIn(client.send(command))).toBe(outcome);
    }
  });

  it('a batch that hides or deletes messages reports each entry that failed', async () => {
    const QueueUrl = queue();
    await send(QueueUrl);
    const { Messages: [message] = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl }));
    const Entries = [
      { Id: 'a', ReceiptHandle: message?.ReceiptHandle, VisibilityTimeout: 60 },
      { Id: 'b', ReceiptHandle: 'x', VisibilityTimeout: 60 },
    ];
    const hidden = await client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }));
    const handles = Entries.map(({ Id, ReceiptHandle }) => ({ Id, ReceiptHandle }));
    const deleted = await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries: handles }));
    for (const answer of [hidden, deleted]) {
      expect(answer).toMatchObject({ Successful: [{ Id: 'a' }] });
      expect(answer.Failed).toMatchObject([{ Id: 'b', SenderFault: true, Code: 'ReceiptHandleIsInvalid' }]);
    }
    const command = new DeleteMessageBatchCommand({ QueueUrl, Entries: handles.slice(0, 1) });
    expect((await client.send(command)).Failed).toBeUndefined();
  });

  it('DeleteMessage accepts the receipt handle of a deleted message, but refuses a handle from another queue', async () => {
    const [QueueUrl, other] = [queue(), queue()];
    await send(QueueUrl);
    const { Messages: [message] = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl }));
    const remove = (from: string): Promise<string> =>
      nameOf(client.send(new DeleteMessageCommand({ QueueUrl: from, ReceiptHandle: message?.ReceiptHandle })));
    expect(await remove(other)).toBe('ReceiptHandleIsInvalid');
    expect(await remove(QueueUrl)).toBe('no error');
    expect(await remove(other)).toBe('ReceiptHandleIsInvalid');
    expect(await remove(QueueUrl)).toBe('no error');
  });

  it('ChangeMessageVisibility refuses a message that is deleted, was received again, or is visible', async () => {
    const QueueUrl = queue();
    await send(QueueUrl);
    const receive = async (): Promise<string | undefined> =>
      (await client.send(new ReceiveMessageCommand({ QueueUrl }))).Messages?.[0]?.ReceiptHandle;
    const hide = (ReceiptHandle: string | undefined, VisibilityTimeout: number): Promise<string> =>
      faultIn(client.send(new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout })));
    const unavailable =
      'InvalidParameterValue: The message does not exist or is not available for a change of its visibility timeout.';
    const first = await receive();
    expect(await hide(first, 0)).toBe('no error');
    expect(await hide(first, 5)).toBe('MessageNotInflight: The message is not in flight.');
    const second = await receive();
    expect(await hide(first, 5)).toBe(unavailable);
    expect(await hide(second, 5)).toBe('no error');
    await client.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: second }));
    for (const handle of [first, second]) expect(await hide(handle, 5)).toBe(unavailable);
    expect(await hide('x', 5)).toBe('ReceiptHandleIsInvalid: The input receipt handle is invalid.');
  });

  it('ChangeMessageVisibility hides a message for at most 12 hours after it was received', async () => {
    const QueueUrl = queue();
    await send(QueueUrl);
    const command = new ReceiveMessageCommand({ QueueUrl, VisibilityTimeout: 43_200 });
    const { Messages: [message] = [] } = await client.send(command);
    const hide = (VisibilityTimeout: number): Promise<string> =>
      faultIn(
        client.send(
          new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle: message?.ReceiptHandle, VisibilityTimeout }),
        ),
      );
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 });
    expect(await hide(43_200)).toBe(
      'InvalidParameterValue: The total VisibilityTimeout is beyond the limit of 43200 seconds.',
    );
    expect(await hide(39_000)).toBe('no error');
    vi.useRealTimers();
  });

  it('a FIFO queue accepts a deduplication ID again after 5 minutes, even if the first message is still in the queue', async () => {
    const QueueUrl = queue({}, true);
    const more = { MessageGroupId: 'g', MessageDeduplicationId: 'd' };
    const first = await send(QueueUrl, more);
    expect(await send(QueueUrl, more)).toMatchObject({ MessageId: (first as { MessageId: string }).MessageId });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 300_001 });
    const second = await send(QueueUrl, more);
    expect(second).not.toMatchObject({ MessageId: (first as { MessageId: string }).MessageId });
    const { Messages } = await client.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
    expect(Messages).toHaveLength(2);
    vi.useRealTimers();
  });

  it('a message that moves to a FIFO dead-letter queue begins a new retention period there', async () => {
    const outcomes: boolean[] = [];
    for (const fifo of [true, false]) {
      const letters = queue({ MessageRetentionPeriod: '100' }, fifo);
      const deadLetterTargetArn = `arn:aws:sqs:us-west-2:111122223333:${letters.replace(/.*\//, '')}`;
      const RedrivePolicy = JSON.stringify({ maxReceiveCount: 1, deadLetterTargetArn });
      const QueueUrl = queue({ RedrivePolicy, VisibilityTimeout: '0' }, fifo);
      await send(QueueUrl, fifo ? { MessageGroupId: 'g', MessageDeduplicationId: 'd' } : {});
      await client.send(new ReceiveMessageCommand({ QueueUrl }));
      const sentMs = Date.now();
      vi.useFakeTimers({ toFake: ['Date'], now: sentMs + 90_000 });
      await client.send(new ReceiveMessageCommand({ QueueUrl }));
      vi.setSystemTime(sentMs + 120_000);
      const { Messages = [] } = await client.send(new ReceiveMessageCommand({ QueueUrl: letters }));
      outcomes.push(Messages.length === 1);
      vi.useRealTimers();
    }
    expect(outcomes).toEqual([true, false]);
  });

  it('a FIFO queue accepts a deduplication ID again exactly 5 minutes after the first message', async () => {
    const QueueUrl = queue({}, true);
    const more = { MessageGroupId: 'g', MessageDeduplicationId: 'd' };
    const sentMs = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: sentMs });
    const { MessageId } = (await send(QueueUrl, more)) as { MessageId: string };
    vi.setSystemTime(sentMs + 299_999);
    expect(await send(QueueUrl, more)).toMatchObject({ MessageId });
    vi.setSystemTime(sentMs + 300_000);
    expect(await send(QueueUrl, more)).not.toMatchObject({ MessageId });
    vi.useRealTimers();
  });

  it('ReceiveMessage returns one message unless the request allows more messages', async () => {
    const QueueUrl = queue();
    for (let sent = 0; sent < 3; sent += 1) await send(QueueUrl);
    expect((await client.send(new ReceiveMessageCommand({ QueueUrl }))).Messages).toHaveLength(1);
    const two = new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 2 });
    expect((await client.send(two)).Messages).toHaveLength(2);
  });

  it('ReceiveMessage returns all system attributes that a message has', async () => {
    const letters = queue({}, true);
    const arn = `arn:aws:sqs:us-west-2:111122223333:${letters.replace(/.*\//, '')}`;
    const RedrivePolicy = JSON.stringify({ maxReceiveCount: 1, deadLetterTargetArn: arn });
    const QueueUrl = queue({ RedrivePolicy, VisibilityTimeout: '0' }, true);
    const sentMs = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: sentMs });
    const sent = (await send(QueueUrl, { MessageGroupId: 'g', MessageDeduplicationId: 'd' })) as object;
    vi.setSystemTime(sentMs + 7);
    const attributes = {
      SenderId: 'AIDALOCAL',
      SentTimestamp: String(sentMs),
      ApproximateReceiveCount: '1',
      ApproximateFirstReceiveTimestamp: String(sentMs + 7),
      MessageGroupId: 'g',
      MessageDeduplicationId: 'd',
      SequenceNumber: '10000000000000000001',
    };
    expect(sent).toMatchObject({ SequenceNumber: attributes.SequenceNumber });
    expect(await receiveAll(QueueUrl)).toMatchObject([{ Attributes: attributes }]);
    vi.setSystemTime(sentMs + 9);
    expect(await receiveAll(QueueUrl)).toBeUndefined();
    const moved = { ...attributes, ApproximateReceiveCount: '2' };
    const DeadLetterQueueSourceArn = `arn:aws:sqs:us-west-2:111122223333:${QueueUrl.replace(/.*\//, '')}`;
    const [letter] = (await receiveAll(letters)) as { Attributes: unknown }[];
    expect(letter?.Attributes).toEqual({ ...moved, DeadLetterQueueSourceArn });
    vi.useRealTimers();
  });

  it('a long poll ends on time even if the clock is set back', async () => {
    const QueueUrl = queue();
    const startedAtMs = performance.now();
    const polled = client.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 1 }));
    await vi.waitFor(() => expect(performance.now() - startedAtMs).toBeGreaterThan(200), { interval: 20 });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 });
    expect((await polled).Messages).toBeUndefined();
    vi.useRealTimers();
  }, 5000);

  it('delays, visibility timeouts and deduplication end on time even if the clock is set back', async () => {
    const [QueueUrl, fifo] = [queue({ DelaySeconds: '10', VisibilityTimeout: '30' }), queue({}, true)];
    const more = { MessageGroupId: 'g', MessageDeduplicationId: 'd' };
    const sentMs = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: sentMs });
    await send(QueueUrl);
    const { MessageId } = (await send(fifo, more)) as { MessageId: string };
    const backMs = sentMs - 3_600_000;
    vi.setSystemTime(backMs);
    expect(await receiveAll(QueueUrl)).toBeUndefined();
    vi.setSystemTime(backMs + 10_000);
    expect(await receiveAll(QueueUrl)).toHaveLength(1);
    vi.setSystemTime(backMs - 3_600_000);
    expect(await receiveAll(QueueUrl)).toBeUndefined();
    vi.setSystemTime(backMs - 3_570_000);
    expect(await receiveAll(QueueUrl)).toHaveLength(1);
    expect(await send(fifo, more)).toMatchObject({ MessageId });
    vi.setSystemTime(backMs - 3_300_000);
    expect(await send(fifo, more)).not.toMatchObject({ MessageId });
    vi.useRealTimers();
  });

  it('a long poll receives no message after its client has disconnected', async () => {
    const QueueUrl = queue();
    const body = JSON.stringify({ QueueUrl, WaitTimeSeconds: 20 });
    const headers = { 'x-amz-target': 'AmazonSQS.ReceiveMessage' };
    const begun = Promise.withResolvers<ServerResponse>();
    const begin = (message: unknown): void => begun.resolve((message as { response: ServerResponse }).response);
    subscribe('http.server.request.start', begin);
    const asked = request(sqs.endpoint, { method: 'POST', headers }).on('error', () => {});
    asked.end(body);
    const closed = once(await begun.promise, 'close');
    unsubscribe('http.server.request.start', begin);
    asked.destroy();
    await closed;
    await send(QueueUrl);
    // A poll checks the queue every 20 ms.
    await sleep(100);
    expect(await receiveBodies(QueueUrl)).toEqual(['x']);
  });

  it('a long poll receives no message that arrives after its client has disconnected but before the next check of the queue', async () => {
    const store = new QueueStore();
    store.create('polled', {});
    const call = (name: string, members: object, gone = new AbortController()): unknown => {
      const { members: known = [], perform } = ACTIONS[name] ?? {};
      return perform?.(store, new Input({ QueueUrl: '/111122223333/polled', ...members }, known), gone.signal);
    };
    const gone = new AbortController();
    const polled = call('ReceiveMessage', { WaitTimeSeconds: 20 }, gone);
    gone.abort();
    call('SendMessage', { MessageBody: 'x' });
    expect(await polled).toEqual({});
    expect(await call('ReceiveMessage', {})).toMatchObject({ Messages: [{ Body: 'x' }] });
  });

  it("ReceiveMessage waits for the queue's ReceiveMessageWaitTimeSeconds unless the request has a WaitTimeSeconds", async () => {
    const QueueUrl = queue({ ReceiveMessageWaitTimeSeconds: '20' });
    const poll = (WaitTimeSeconds?: number): Promise<unknown> =>
      client.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds }));
    expect(await poll(0)).not.toHaveProperty('Messages');
    const polled = poll();
    expect(await Promise.race([polled, sleep(100, 'still waiting')])).toBe('still waiting');
    await send(QueueUrl);
    expect(await polled).toMatchObject({ Messages: [{ Body: 'x' }] });
  });

  it('the unsupported action PurgeQueue is refused', async () => {
    expect(await nameOf(client.send(new PurgeQueueCommand({ QueueUrl: queue() })))).not.toBe('no error');
  });
});

describe('SQS emulator: JSON protocol', () => {
  it.for([
    [
      'SendMessage',
      'an attribute whose bytes are not base64',
      { MessageBody: 'x', MessageAttributes: { a: { DataType: 'Binary', BinaryValue: '!!!' } } },
      'base64',
    ],
    [
      'SetQueueAttributes',
      'an array as maxReceiveCount',
      { Attributes: { RedrivePolicy: `{"maxReceiveCount":[5],${DEAD_LETTERS}}` } },
      'maxReceiveCount',
    ],
    ['ListQueues', 'an array as its body', [], 'not a JSON object'],
    ['ListQueues', 'a number as its body', 5, 'not a JSON object'],
    ['ListQueues', 'null as its body', null, 'not a JSON object'],
  ] as const)('%s refuses %s', async ([action, , members, fault]) => {
    const { queueUrl } = sqs.ensureQueue('letters');
    const headers = { 'x-amz-target': `AmazonSQS.${action}` };
    const answer = await fetch(queueUrl, { method: 'POST', headers, body: JSON.stringify(members) });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain(fault);
  });
});

/** Sends a request in the JSON protocol, and returns the JSON of the error. */
async function faultOf(action: string, body: string | Buffer): Promise<unknown> {
  const headers = { 'x-amz-target': `AmazonSQS.${action}` };
  const answer = await fetch(sqs.endpoint, { method: 'POST', headers, body });
  expect(answer.status).toBe(400);
  return answer.json();
}

/** The JSON of an error that many AWS services share. */
function common(type: string): object {
  return { __type: `com.amazon.coral.service#${type}` };
}

it.for([
  ['ListQueues', 'a body that is not JSON', '{'],
  ['ListQueues', 'an empty body', ''],
  ['ListQueues', 'an array', '[]'],
  ['GetQueueUrl', 'a body that is not UTF-8', Buffer.from('{"QueueName":"é"}', 'latin1')],
  ['GetQueueUrl', 'a number as a name', '{"QueueName":5}'],
  ['CreateQueue', 'an array as attributes', '{"QueueName":"q","Attributes":[]}'],
  ['GetQueueAttributes', 'a string as a list', '{"QueueUrl":"/111122223333/typed","AttributeNames":"All"}'],
  ['SendMessageBatch', 'a string as entries', '{"QueueUrl":"/111122223333/typed","Entries":"x"}'],
  ['SendMessageBatch', 'a string as an entry', '{"QueueUrl":"/111122223333/typed","Entries":["x"]}'],
  ['ReceiveMessage', 'a list as a number', '{"QueueUrl":"/111122223333/typed","MaxNumberOfMessages":[1]}'],
  [
    'SendMessage',
    'a list as attributes',
    '{"QueueUrl":"/111122223333/typed","MessageBody":"x","MessageAttributes":[]}',
  ],
] as const)('the SQS emulator reports SerializationException for %s with %s', async ([action, , body]) => {
  sqs.ensureQueue('typed');
  expect(await faultOf(action, body)).toMatchObject(common('SerializationException'));
});

it("the SQS emulator uses AWS's names for the errors that all AWS services share", async () => {
  sqs.ensureQueue('typed');
  const url = '"QueueUrl":"/111122223333/typed"';
  expect(await faultOf('SendMessage', `{${url}}`)).toMatchObject(common('MissingRequiredParameterException'));
  expect(await faultOf('SendMessage', `{${url},"MessageBody":"x","DelaySeconds":901}`)).toMatchObject(
    common('InvalidParameterValueException'),
  );
  expect(await faultOf('constructor', '{}')).toMatchObject(common('UnknownOperationException'));
});

it('the SQS emulator refuses a request above 8 MiB, and closes the connection', async () => {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = request(sqs.endpoint, { method: 'POST' }, resolve);
  sent.once('error', reject);
  // Leave the request unfinished, so that the emulator must respond before it has the whole request.
  sent.write(Buffer.alloc(8 * 1024 * 1024 + 1));
  const answer = await promise;
  expect([answer.statusCode, answer.headers.connection]).toEqual([400, 'close']);
  expect(await textOf(answer)).toContain('"The request is too long."');
  sent.destroy();
});

it.for(['//', '*', '//elsewhere.example/?Action=x', 'http://127.0.0.1/?Action=x'])(
  'the SQS emulator responds with InvalidAction to a request whose target is %s',
  async (path) => {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    request(sqs.endpoint, { path }, resolve).once('error', reject).end();
    const answer = (await promise).resume();
    expect([answer.statusCode, answer.headers['x-amzn-query-error']]).toEqual([400, 'InvalidAction;Sender']);
  },
);

it('the SQS emulator responds with an error if an object that a client sent has the member toString', async () => {
  const told = await startSqsEmulator({ onCall: () => {} });
  const statuses: number[] = [];
  for (const [target, body] of [
    ['AmazonSQS.GetQueueUrl', '{"QueueName":{"toString":1}}'],
    ['AmazonSQS.SendMessage', '{"QueueUrl":{"toString":1}}'],
    ['', 'Action.toString=1'],
    ['', 'Action=CreateQueue&QueueName=q&Attribute.1.Name.toString=1'],
  ] as const) {
    const headers: Record<string, string> = target === '' ? {} : { 'x-amz-target': target };
    statuses.push((await fetch(told.endpoint, { method: 'POST', headers, body })).status);
  }
  expect(statuses).toEqual([400, 400, 400, 400]);
  await told.close();
});

it('the SQS emulator passes the action and the queue of each call to the callback onCall', async () => {
  const calls: string[] = [];
  const told = await startSqsEmulator({ onCall: (action, name) => calls.push(`${action} ${name}`) });
  const asked = new SQSClient({ endpoint: told.endpoint, region: 'us-west-2', maxAttempts: 1 });
  const { QueueUrl } = await asked.send(new CreateQueueCommand({ QueueName: 'told' }));
  await asked.send(new SendMessageCommand({ QueueUrl, MessageBody: 'x' }));
  await asked.send(new ListQueuesCommand({}));
  expect(calls).toEqual(['CreateQueue told', 'SendMessage told', 'ListQueues ']);
  await told.close();
});

/** Sends a request in the query protocol, either signed, as AWS clients do, or unsigned, as curl does. */
function post(form: Record<string, string>, signed = true): Promise<Response> {
  const authorization = 'AWS4-HMAC-SHA256 Credential=local/20260101/us-west-2/sqs/aws4_request';
  return fetch(sqs.endpoint, {
    method: 'POST',
    body: new URLSearchParams({ Version: '2012-11-05', ...form }),
    headers: signed ? { authorization } : {},
  });
}

/** A form with a list whose last member comes first. */
function listForm(name: string, ...members: string[]): string {
  return members.map((member, index) => `${name}.${members.length - index}${member}`).join('&');
}

function responseXml(result: string): string {
  const metadata = '<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>';
  return `<?xml version="1.0"?><XResponse><XResult>${result}</XResult>${metadata}</XResponse>`;
}

describe('SQS emulator: query protocol of older AWS CLIs', () => {
  it('SendMessage and ReceiveMessage return their results in XML', async () => {
    const QueueUrl = queue();
    const sent = await post({
      Action: 'SendMessage',
      QueueUrl,
      MessageBody: 'a <b> & "c"\r\n',
      'MessageAttribute.1.Name': 'kind',
      'MessageAttribute.1.Value.DataType': 'String',
      'MessageAttribute.1.Value.StringValue': 'v',
    });
    expect(sent.headers.get('content-type')).toBe('text/xml');
    expect(await sent.text()).toMatch(
      /^<\?xml version="1.0"\?><SendMessageResponse><SendMessageResult><MessageId>[\da-f-]{36}<\/MessageId>/,
    );
    const form = { Action: 'ReceiveMessage', QueueUrl, 'MessageAttributeName.1': 'All', 'AttributeName.1': 'SenderId' };
    const received = await (await post(form)).text();
    expect(received).toContain('<Body>a &#60;b&#62; &#38; &#34;c&#34;&#13;\n</Body>');
    expect(received).toContain('<Attribute><Name>SenderId</Name><Value>AIDALOCAL</Value></Attribute>');
    expect(received).toContain(
      '<MessageAttribute><Name>kind</Name><Value><DataType>String</DataType><StringValue>v</StringValue></Value></MessageAttribute>',
    );
  });

  it('a form can contain maps, and lists of any length', () => {
    for (const [name, member] of [
      ['AttributeName', 'AttributeNames'],
      ['MessageAttributeName', 'MessageAttributeNames'],
      ['MessageSystemAttributeName', 'MessageSystemAttributeNames'],
    ] as const) {
      const texts = Array.from({ length: 11 }, (_, index) => `t${index}`);
      const form = listForm(name, ...texts.map((text) => `=${text}`));
      expect(readForm(new URLSearchParams(form))).toEqual({ [member]: texts.toReversed() });
    }
    for (const action of ['SendMessage', 'DeleteMessage', 'ChangeMessageVisibility']) {
      const form = listForm(`${action}BatchRequestEntry`, '.Id=b', '.Id=a');
      expect(readForm(new URLSearchParams(form))).toEqual({ Entries: [{ Id: 'a' }, { Id: 'b' }] });
    }
    for (const [name, member] of [
      ['Attribute', 'Attributes'],
      ['MessageAttribute', 'MessageAttributes'],
      ['MessageSystemAttribute', 'MessageSystemAttributes'],
    ] as const) {
      const form = `${name}.1.Name=a&${name}.1.Value=1&${name}.2.Name=b&${name}.2.Value.x=2`;
      expect(readForm(new URLSearchParams(form))).toEqual({ [member]: { a: '1', b: { x: '2' } } });
    }
    expect(readForm(new URLSearchParams('Tag.1.Key=a&Tag.1.Value=1'))).toEqual({ tags: { a: '1' } });
  });

  it('a list in a response has one XML element for each item', () => {
    for (const [answer, result] of [
      [{ QueueUrls: ['a', 'b'] }, '<QueueUrl>a</QueueUrl><QueueUrl>b</QueueUrl>'],
      [{ Messages: [{ Body: 'a' }] }, '<Message><Body>a</Body></Message>'],
      [{ Attributes: { a: '1' } }, '<Attribute><Name>a</Name><Value>1</Value></Attribute>'],
      [{ Successful: [{ Id: 'a' }] }, '<XResultEntry><Id>a</Id></XResultEntry>'],
      [
        { Failed: [{ Id: 'a', SenderFault: true }] },
        '<BatchResultErrorEntry><Id>a</Id><SenderFault>true</SenderFault></BatchResultErrorEntry>',
      ],
      [{ MessageId: 'a', SequenceNumber: undefined }, '<MessageId>a</MessageId>'],
    ] as const) {
      expect(toXml('X', answer, 'r')).toBe(responseXml(result));
    }
  });

  it.for([
    ...[
      'EmptyBatchRequest',
      'TooManyEntriesInBatchRequest',
      'BatchEntryIdsNotDistinct',
      'BatchRequestTooLong',
      'InvalidBatchEntryId',
      'MessageNotInflight',
      'UnsupportedOperation',
    ].map((type) => [type, `AWS.SimpleQueueService.${type}`]),
    ['QueueDoesNotExist', 'AWS.SimpleQueueService.NonExistentQueue'],
    ['QueueNameExists', 'QueueAlreadyExists'],
    ['UnknownOperationException', 'InvalidAction'],
    ...['InvalidAttributeName', 'InvalidParameterValue', 'MissingParameter', 'ReceiptHandleIsInvalid'].map((type) => [
      type,
      type,
    ]),
  ] as [string, string][])('the error %s has the code %s', ([type, code]) => {
    expect(queryCode(new SqsError(type, ''))).toBe(code);
  });

  it('SendMessageBatch reports each failed entry', async () => {
    const entry = 'SendMessageBatchRequestEntry';
    const answer = await post({
      Action: 'SendMessageBatch',
      QueueUrl: queue(),
      [`${entry}.1.Id`]: 'a',
      [`${entry}.1.MessageBody`]: 'x',
      [`${entry}.2.Id`]: 'b',
      [`${entry}.2.MessageBody`]: '',
    });
    const xml = await answer.text();
    expect(xml).toContain('<SendMessageBatchResultEntry><Id>a</Id>');
    expect(xml).toContain('<BatchResultErrorEntry><Id>b</Id><Code>MissingParameter</Code>');
  });

  it.for([
    ['an unknown queue', { Action: 'GetQueueUrl', QueueName: 'nowhere' }, 'AWS.SimpleQueueService.NonExistentQueue'],
    ['an unsupported action', { Action: 'PurgeQueue' }, 'InvalidAction'],
    [
      'an unknown attribute',
      { Action: 'CreateQueue', QueueName: 'q', 'Attribute.1.Name': 'Colour', 'Attribute.1.Value': 'red' },
      'InvalidAttributeName',
    ],
    [
      'a tag',
      { Action: 'CreateQueue', QueueName: 'q', 'Tag.1.Key': 'a', 'Tag.1.Value': 'b' },
      'AWS.SimpleQueueService.UnsupportedOperation',
    ],
    [
      'a parameter named constructor',
      { Action: 'CreateQueue', QueueName: 'q', 'constructor.1.Name': 'x' },
      'AWS.SimpleQueueService.UnsupportedOperation',
    ],
    [
      'a parameter whose name has 100,000 parts',
      { Action: 'CreateQueue', QueueName: 'q', ['a.'.repeat(100_000)]: 'x' },
      'InvalidParameterValue',
    ],
    [
      'a parameter named __proto__',
      { Action: 'CreateQueue', QueueName: 'q', '__proto__.1.Name': 'x' },
      'AWS.SimpleQueueService.UnsupportedOperation',
    ],
  ] as const)('the error for %s has a code and a request ID', async ([, form, code]) => {
    const answer = await post(form);
    expect(answer.status).toBe(400);
    const xml = await answer.text();
    expect(xml).toContain(`<Code>${code}</Code>`);
    expect(xml).toContain(`<RequestId>${answer.headers.get('x-amzn-requestid')}</RequestId>`);
  });

  it.for([
    ['a percent-encoded byte', 'MessageBody=%E9'],
    ['a byte', Buffer.from('MessageBody=é', 'latin1')],
  ] as const)('the emulator refuses a form in which %s is not UTF-8', async ([, body]) => {
    const answer = await fetch(`${queue()}?Action=SendMessage`, { method: 'POST', body });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain('The request is not UTF-8.');
  });

  it('the emulator accepts a form with percent-encoded UTF-8', async () => {
    const QueueUrl = queue();
    await fetch(QueueUrl, { method: 'POST', body: 'Action=SendMessage&MessageBody=%C3%A9 100%' });
    const { Messages } = await client.send(new ReceiveMessageCommand({ QueueUrl }));
    expect(Messages?.map(({ Body }) => Body)).toEqual(['é 100%']);
  });

  it('the emulator responds in JSON to an unsigned request', async () => {
    const answer = await post({ Action: 'GetQueueUrl', QueueName: queue().replace(/.*\//, '') }, false);
    expect(await answer.json()).toMatchObject({ QueueUrl: expect.stringContaining(sqs.endpoint) as string });
    expect(answer.headers.get('content-type')).toBe('application/x-amz-json-1.0');
    expect(answer.headers.get('x-amzn-requestid')).toMatch(/^[\da-f-]{36}$/);
  });
});
