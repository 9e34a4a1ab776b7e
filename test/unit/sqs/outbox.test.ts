import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { OutgoingMessage } from '../../../src/sqs/message.ts';
import { Outbox } from '../../../src/sqs/outbox.ts';
import { errorOf } from '../../support/fakes.ts';
import { FakeQueues } from '../../support/queue-door.ts';

vi.mock('node:timers/promises', async (original) => ({
  ...(await original<object>()),
  setTimeout: vi.fn<typeof sleep>(() => Promise.resolve() as Promise<never>),
}));
afterEach(() => {
  vi.restoreAllMocks();
  vi.mocked(sleep).mockClear();
});

const URL = 'https://sqs.us-west-2.amazonaws.com/111122223333/out';
const neverAborted = new AbortController().signal;

function message(body: string, attributes: OutgoingMessage['attributes'] = {}): OutgoingMessage {
  return { body, attributes };
}

/** Sends all messages at once. Returns the body and the error of each message that could not be sent. */
async function sendAll(
  queues: FakeQueues,
  messages: readonly OutgoingMessage[],
  signal = neverAborted,
): Promise<Record<string, string>> {
  const outbox = new Outbox(queues, URL, signal);
  const sent = await Promise.allSettled(messages.map((one) => outbox.send(one)));
  const failed = sent.map((one, i) =>
    one.status === 'rejected' ? [messages[i]?.body ?? '', (one.reason as Error).message] : undefined,
  );
  return Object.fromEntries(failed.filter((one) => one !== undefined)) as Record<string, string>;
}

function bodiesOf(calls: FakeQueues['calls']): string[][] {
  return calls.map(({ messages }) => messages.map(({ body }) => body));
}

describe('Outbox', () => {
  it('sends at most ten messages per call', async () => {
    const queues = new FakeQueues();
    const messages = Array.from({ length: 23 }, (_, i) => message(String(i)));
    expect(await sendAll(queues, messages)).toEqual({});
    expect(queues.calls.map((call) => call.messages.length)).toEqual([10, 10, 3]);
    expect(queues.in(URL)).toEqual(messages);
  });

  it('sends at most 1 MiB per call, and counts attributes and multi-byte characters', async () => {
    const queues = new FakeQueues();
    const attributes = {
      abcdefghij: { DataType: 'Binary.gz', BinaryValue: Buffer.alloc(100) },
      b: { DataType: 'String', StringValue: 'é' },
    };
    // The names, types and values of the attributes have 10 + 9 + 100 and 1 + 6 + 2 bytes.
    const half = message('é'.repeat(262_080), attributes);
    expect(await sendAll(queues, [half, half, half])).toEqual({});
    expect(queues.calls.map((call) => call.messages.length)).toEqual([2, 1]);
    const more = message(`${half.body}x`, attributes);
    const fresh = new FakeQueues();
    await sendAll(fresh, [more, more]);
    expect(fresh.calls.map((call) => call.messages.length)).toEqual([1, 1]);
  });

  it('retries only messages that failed with a transient fault', async () => {
    const queues = new FakeQueues();
    queues.faultOf = (_, { body }, call) =>
      body === 'b' && call < 3 ? { errorName: 'InternalError', isTransient: true } : undefined;
    expect(
      await sendAll(
        queues,
        ['a', 'b', 'c'].map((body) => message(body)),
      ),
    ).toEqual({});
    expect(bodiesOf(queues.calls)).toEqual([['a', 'b', 'c'], ['b'], ['b']]);
  });

  it('rejects a message after five transient faults, or at once after a permanent fault', async () => {
    const queues = new FakeQueues();
    queues.faultOf = (_, { body }) => ({ errorName: body, isTransient: body === 'InternalError' });
    const failed = await sendAll(queues, [message('InternalError'), message('AccessDenied')]);
    expect(failed).toEqual({ InternalError: 'SQS: InternalError', AccessDenied: 'SQS: AccessDenied' });
    expect(bodiesOf(queues.calls)).toEqual([
      ['InternalError', 'AccessDenied'],
      ...Array.from({ length: 4 }, () => ['InternalError']),
    ]);
  });

  it('doubles the limit of its random delay with each retry', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const queues = new FakeQueues();
    queues.faultOf = () => ({ errorName: 'InternalError', isTransient: true });
    await sendAll(queues, [message('a')]);
    const waits = vi.mocked(sleep).mock.calls;
    expect(waits.map(([ms]) => ms)).toEqual([25, 50, 100, 200]);
    expect(waits.map(([, , options]) => options?.signal)).toEqual(waits.map(() => neverAborted));
  });

  it('rejects with refusesContent if SQS refuses the content of a message', async () => {
    const queues = new FakeQueues();
    const outbox = new Outbox(queues, URL, neverAborted);
    queues.faultOf = () => ({ errorName: 'InvalidMessageContents', isTransient: false, refusesContent: true });
    expect(await errorOf(outbox.send(message('a')))).toMatchObject({ name: 'NotSent', refusesContent: true });
    queues.faultOf = () => ({ errorName: 'AccessDenied', isTransient: false });
    expect(await errorOf(outbox.send(message('a')))).toMatchObject({ name: 'NotSent', refusesContent: false });
  });

  it('sends a message in a new call if it arrives in a later event-loop turn', async () => {
    const queues = new FakeQueues();
    const outbox = new Outbox(queues, URL, neverAborted);
    await outbox.send(message('a'));
    await outbox.send(message('b'));
    expect(bodiesOf(queues.calls)).toEqual([['a'], ['b']]);
  });

  it('rejects the remaining messages when the signal aborts during a delay', async () => {
    const queues = new FakeQueues();
    const over = new AbortController();
    queues.faultOf = () => ({ errorName: 'InternalError', isTransient: true });
    vi.mocked(sleep).mockImplementationOnce(() => {
      over.abort();
      return Promise.reject(new Error('aborted'));
    });
    expect(await sendAll(queues, [message('a')], over.signal)).toEqual({ a: 'SQS: InternalError' });
    expect(queues.calls).toHaveLength(2);
  });

  it('does not retry after the signal has aborted', async () => {
    const queues = new FakeQueues();
    const over = new AbortController();
    queues.faultOf = () => {
      over.abort();
      return { errorName: 'InternalError', isTransient: true };
    };
    const outbox = new Outbox(queues, URL, over.signal);
    expect(await errorOf(outbox.send(message('a')))).toMatchObject({ message: 'SQS: InternalError' });
    expect(queues.calls).toHaveLength(1);
  });
});
