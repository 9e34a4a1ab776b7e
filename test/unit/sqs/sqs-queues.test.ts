import { SQSClient } from '@aws-sdk/client-sqs';
import { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { close, listen } from '../../../emulators/listen.ts';
import { keptConnections } from '../../../src/connections/agents.ts';
import type { OutgoingMessage } from '../../../src/sqs/message.ts';
import { SqsQueues } from '../../../src/sqs/sqs-queues.ts';
import { holdConnections } from '../../support/hold-connections.ts';

vi.mock('../../../src/connections/agents.ts', { spy: true });

const neverAborted = new AbortController().signal;
const ARN = 'arn:aws:sqs:us-west-2:111122223333:keyfold-input';

interface Call {
  readonly action: string;
  readonly input: { readonly Entries?: readonly { readonly Id: string; readonly MessageBody?: string }[] };
}
type Answer = { readonly status?: number; readonly body: object } | 'hang up' | 'hold' | 'stall';

let server: Server;
let endpoint: string;
let calls: Call[] = [];
let answer: (call: Call) => Answer;

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const input = (await json(request)) as Call['input'];
  const call = { action: String(request.headers['x-amz-target']).replace('AmazonSQS.', ''), input };
  calls.push(call);
  const given = answer(call);
  if (given === 'hold') return;
  if (given === 'stall') response.writeHead(200, { 'content-length': '100' }).write('{');
  else if (given === 'hang up') request.socket.destroy();
  else response.writeHead(given.status ?? 200).end(JSON.stringify(given.body));
}

beforeAll(async () => {
  server = createServer((request, response) => void respond(request, response));
  endpoint = `http://127.0.0.1:${await listen(server, 0)}`;
  vi.stubEnv('AWS_ENDPOINT_URL_SQS', endpoint);
});
afterAll(() => {
  vi.unstubAllEnvs();
  return close(server);
});
afterEach(() => {
  calls = [];
});

function messages(...bodies: string[]): OutgoingMessage[] {
  return bodies.map((body) => ({ body, attributes: {} }));
}

function send(...bodies: string[]): ReturnType<SqsQueues['send']> {
  return new SqsQueues().send(`${endpoint}/111122223333/out`, messages(...bodies), neverAborted);
}

/** The response with which SQS accepts all messages of a call, except those in `failed`. */
function taken(call: Call, failed: readonly object[] = []): Answer {
  const ids = new Set(failed.map((one) => (one as { Id: string }).Id));
  const Successful = (call.input.Entries ?? [])
    .filter(({ Id }) => !ids.has(Id))
    .map(({ Id }) => ({ Id, MessageId: 'm', MD5OfMessageBody: 'of another' }));
  return { body: { Successful, Failed: failed } };
}

describe('SqsQueues.send', () => {
  it('sends the attributes of a message', async () => {
    answer = (call) => taken(call);
    const attributes = { kind: { DataType: 'String.of a kind', StringValue: 'é' } };
    await new SqsQueues().send(`${endpoint}/111122223333/out`, [{ body: 'x', attributes }], neverAborted);
    expect(calls[0]?.input.Entries).toEqual([{ Id: '0', MessageBody: 'x', MessageAttributes: attributes }]);
  });

  it('sends the group and the deduplication ID of a message, if the message has them', async () => {
    answer = (call) => taken(call);
    const message = { body: 'x', attributes: {} };
    const some = [{ ...message, groupId: 'a', deduplicationId: 'b' }, { ...message, groupId: 'a' }, message];
    await new SqsQueues().send(`${endpoint}/111122223333/out`, some, neverAborted);
    const sent = { MessageBody: 'x', MessageAttributes: {} };
    expect(calls[0]?.input.Entries).toEqual([
      { ...sent, Id: '0', MessageGroupId: 'a', MessageDeduplicationId: 'b' },
      { ...sent, Id: '1', MessageGroupId: 'a' },
      { ...sent, Id: '2' },
    ]);
  });

  it('sends nothing after its signal has aborted', async () => {
    answer = (call) => taken(call);
    const url = `${endpoint}/111122223333/out`;
    expect(await new SqsQueues().send(url, messages('a'), AbortSignal.abort())).toEqual([
      { errorName: 'AbortError', isTransient: false },
    ]);
    expect(calls).toEqual([]);
  });

  it('reports for each message whether SQS accepted it and, if not, whether the error is transient', async () => {
    answer = (call) =>
      taken(call, [
        { Id: '1', Code: 'InternalError', SenderFault: false, Message: 'x' },
        { Id: '2', Code: 'KmsAccessDenied', SenderFault: true, Message: 'x' },
      ]);
    expect(await send('a', 'b', 'c', 'd')).toEqual([
      undefined,
      { errorName: 'InternalError', isTransient: true },
      { errorName: 'KmsAccessDenied', isTransient: false },
      undefined,
    ]);
  });

  it.for([
    'BatchRequestTooLong',
    'MessageTooLong',
    'InvalidMessageContents',
    'InvalidParameterValue',
    'InvalidAttributeValue',
    'AWS.SimpleQueueService.MessageTooLong',
  ])('sets refusesContent if the error code is %s', async (Code) => {
    answer = (call) => taken(call, [{ Id: '0', Code, SenderFault: true }]);
    expect(await send('a')).toEqual([{ errorName: Code, isTransient: false, refusesContent: true }]);
  });

  it('reports a fault for a message that the response does not list', async () => {
    answer = () => ({ body: { Successful: [{ Id: '0', MessageId: 'm', MD5OfMessageBody: 'x' }] } });
    expect(await send('a', 'b')).toEqual([undefined, { errorName: 'NoAnswer', isTransient: true }]);
  });

  it('sends each message separately after SQS has refused a call with all messages', async () => {
    const refusal = { status: 400, body: { __type: 'com.amazonaws.sqs#InvalidMessageContents', message: 'x' } };
    answer = (call) =>
      call.input.Entries?.some(({ MessageBody }) => MessageBody === 'bad') === true ? refusal : taken(call);
    expect(await send('a', 'bad', 'c')).toEqual([
      undefined,
      { errorName: 'InvalidMessageContents', isTransient: false, refusesContent: true },
      undefined,
    ]);
    expect(calls).toHaveLength(4);
  });

  it.for<[string, Answer, string]>([
    ['throttles', { status: 400, body: { __type: 'ThrottlingException', message: 'x' } }, 'ThrottlingException'],
    ['is down', { status: 503, body: { __type: 'ServiceUnavailable', message: 'x' } }, 'ServiceUnavailable'],
    ['hangs up', 'hang up', 'ECONNRESET'],
  ])('reports a fault for every message of a call if SQS %s', async ([, given, name]) => {
    answer = () => given;
    expect(await send('a', 'b')).toEqual([1, 2].map(() => ({ errorName: name, isTransient: false })));
    expect(calls).toHaveLength(3);
  });
});

/** Makes timers fire after a fiftieth of their time. */
function hurryTimers(): void {
  const real = globalThis.setTimeout;
  vi.spyOn(globalThis, 'setTimeout').mockImplementation((fire: () => void, ms = 0) => real(fire, ms / 50));
}

describe('SqsQueues', () => {
  afterEach(() => vi.restoreAllMocks());

  it('waits 1 s for a connection and 5 s for a response (1 s after a freeze), and makes three attempts per call', async () => {
    vi.mocked(keptConnections).mockClear();
    answer = (call) => taken(call);
    const sending = vi.spyOn(SQSClient.prototype, 'send');
    // Send a message first, because the SDK determines the timeouts during the first request.
    for (const options of [undefined, { useQueueUrlAsEndpoint: false }]) {
      await new SqsQueues(options).send(`${endpoint}/111122223333/out`, messages('a'), neverAborted);
    }
    const afterFreeze = { answerWithinMs: 1000 };
    expect(vi.mocked(keptConnections).mock.calls).toEqual([[afterFreeze], [afterFreeze]]);
    const [usual, chosen] = sending.mock.contexts.map((used) => (used as SQSClient).config);
    const handler = usual?.requestHandler as unknown as { httpHandlerConfigs(): object };
    expect(handler.httpHandlerConfigs()).toMatchObject({
      connectionTimeout: 1000,
      requestTimeout: 5000,
      throwOnRequestTimeout: true,
      socketTimeout: 5000,
    });
    expect(await usual?.maxAttempts()).toBe(3);
    expect([usual?.md5, usual?.useQueueUrlAsEndpoint, chosen?.useQueueUrlAsEndpoint]).toEqual([false, true, false]);
  });

  it('ends a call after its timeout if the connection does not open', async () => {
    hurryTimers();
    const connecting = holdConnections();
    expect(await send('a')).toEqual([{ errorName: 'TimeoutError', isTransient: false }]);
    expect(connecting).toHaveBeenCalledTimes(3);
  });

  it('ends a call after its timeout if SQS accepts the call but does not respond', async () => {
    hurryTimers();
    answer = () => 'hold';
    expect(await send('a')).toEqual([{ errorName: 'ETIMEDOUT', isTransient: false }]);
  });

  it('ends a call after its timeout if the response stops in the middle', async () => {
    // oxlint-disable-next-line typescript/unbound-method -- it is called with the socket as its `this`
    const real = Socket.prototype.setTimeout;
    vi.spyOn(Socket.prototype, 'setTimeout').mockImplementation(function (this: Socket, ms, fire) {
      return real.call(this, ms / 50, fire);
    });
    answer = () => 'stall';
    expect(await send('a')).toEqual([{ errorName: 'TimeoutError', isTransient: false }]);
  });
});

it('SqsQueues makes as many retries after an outage as before the outage', async () => {
  const queues = new SqsQueues();
  const url = `${endpoint}/111122223333/out`;
  answer = () => 'hang up';
  // This many failures would use up the SDK's default retry quota. The SDK would then not retry later calls.
  const outage = Array.from({ length: 40 }, () => queues.send(url, messages('a'), neverAborted));
  for (const faults of await Promise.all(outage)) expect(faults).toMatchObject([{ errorName: 'ECONNRESET' }]);
  expect(calls).toHaveLength(3 * outage.length);
  answer = (call) => (calls.length % 2 === 1 ? 'hang up' : taken(call));
  for (let i = 0; i < 10; i += 1) expect(await queues.send(url, messages('a'), neverAborted)).toEqual([undefined]);
});

describe('SqsQueues.changeVisibility', () => {
  it('looks up the URL of a queue once, and changes ten messages per call', async () => {
    answer = (call) =>
      call.action === 'GetQueueUrl' ? { body: { QueueUrl: `${endpoint}/111122223333/keyfold-input` } } : taken(call);
    const queues = new SqsQueues();
    const some = Array.from({ length: 21 }, (_, i) => ({ receiptHandle: `h${i}`, delaySeconds: i }));
    expect(await queues.changeVisibility(ARN, some, neverAborted)).toEqual([]);
    expect(await queues.changeVisibility(ARN, some.slice(0, 1), neverAborted)).toEqual([]);
    expect(calls.map(({ action }) => action)).toEqual([
      'GetQueueUrl',
      ...Array.from({ length: 4 }, () => 'ChangeMessageVisibilityBatch'),
    ]);
    expect(calls[0]?.input).toEqual({ QueueName: 'keyfold-input', QueueOwnerAWSAccountId: '111122223333' });
    expect(calls.slice(1).map(({ input }) => input.Entries?.length)).toEqual([10, 10, 1, 1]);
    for (const { input } of calls.slice(1))
      expect(input).toHaveProperty('QueueUrl', `${endpoint}/111122223333/keyfold-input`);
    const entries = calls.slice(1, 4).flatMap(({ input }) => input.Entries ?? []);
    expect(entries).toEqual(some.map((_, i) => ({ Id: String(i % 10), ReceiptHandle: `h${i}`, VisibilityTimeout: i })));
  });

  it('makes no call after its signal has aborted', async () => {
    answer = () => ({ body: { QueueUrl: `${endpoint}/111122223333/keyfold-input` } });
    const some = [{ receiptHandle: 'h', delaySeconds: 5 }];
    const queues = new SqsQueues();
    expect(await queues.changeVisibility(ARN, some, AbortSignal.abort())).toEqual(['AbortError']);
    expect(calls).toEqual([]);
    await queues.changeVisibility(ARN, some, neverAborted);
    calls = [];
    expect(await queues.changeVisibility(ARN, some, AbortSignal.abort())).toEqual(['AbortError']);
    expect(calls).toEqual([]);
  });

  it('makes at most ten calls at a time', async () => {
    let active = 0;
    let peak = 0;
    const sendOne = async (): Promise<object> => {
      active += 1;
      peak = Math.max(peak, active);
      await nextTurn();
      active -= 1;
      return { QueueUrl: `${endpoint}/111122223333/keyfold-input` };
    };
    const sending = vi.spyOn(SQSClient.prototype, 'send').mockImplementation(sendOne as () => never);
    const many = Array.from({ length: 250 }, (_, i) => ({ receiptHandle: `h${i}`, delaySeconds: i }));
    expect(await new SqsQueues().changeVisibility(ARN, many, neverAborted)).toEqual([]);
    sending.mockRestore();
    expect(peak).toBe(10);
  });

  it('returns an error for each message in a failed call, and for no other message', async () => {
    answer = (call) => {
      if (call.action === 'GetQueueUrl') return { body: { QueueUrl: `${endpoint}/111122223333/keyfold-input` } };
      const isSecond = call.input.Entries?.length === 2;
      return isSecond ? { status: 400, body: { __type: 'AccessDeniedException', message: 'x' } } : taken(call);
    };
    const some = Array.from({ length: 12 }, (_, i) => ({ receiptHandle: `h${i}`, delaySeconds: 1 }));
    expect(await new SqsQueues().changeVisibility(ARN, some, neverAborted)).toEqual([
      'AccessDeniedException',
      'AccessDeniedException',
    ]);
  });

  it('returns the errors of SQS, and looks up the URL of the queue again if the first lookup failed', async () => {
    const queues = new SqsQueues();
    const some = [{ receiptHandle: 'h', delaySeconds: 5 }];
    answer = () => ({ status: 400, body: { __type: 'AccessDeniedException', message: 'x' } });
    expect(await queues.changeVisibility(ARN, some, neverAborted)).toEqual(['AccessDeniedException']);
    answer = (call) =>
      call.action === 'GetQueueUrl'
        ? { body: { QueueUrl: `${endpoint}/111122223333/keyfold-input` } }
        : taken(call, [{ Id: '0', Code: 'MessageNotInflight', SenderFault: true }]);
    expect(await queues.changeVisibility(ARN, some, neverAborted)).toEqual(['MessageNotInflight']);
  });
});
