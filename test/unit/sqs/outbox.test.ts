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

/** Sends all at once, and says which were not sent, by their bodies, and why. */
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

describe('an outbox', () => {
  it('sends what is ready in calls of ten', async () => {
    const queues = new FakeQueues();
    const messages = Array.from({ length: 23 }, (_, i) => message(String(i)));
    expect(await sendAll(queues, messages)).toEqual({});
    expect(queues.calls.map((call) => call.messages.length)).toEqual([10, 10, 3]);
    expect(queues.in(URL)).toEqual(messages);
  });

  it('sends no more than 1 MiB in a call, attributes and characters of several bytes counted', async () => {
    const queues = new FakeQueues();
    const attributes = {
      abcdefghij: { DataType: 'Binary.gz', BinaryValue: Buffer.alloc(100) },
      b: { DataType: 'String', StringValue: 'é' },
    };
    // 10 + 9 + 100 and 1 + 6 + 2 bytes of attributes.
    const half = message('é'.repeat(262_080), attributes);
    expect(await sendAll(queues, [half, half, half])).toEqual({});
    expect(queues.calls.map((call) => call.messages.length)).toEqual([2, 1]);
    const more = message(`${half.body}x`, attributes);
    const fresh = new FakeQueues();
    await sendAll(fresh, [more, more]);
    expect(fresh.calls.map((call) => call.messages.length)).toEqual([1, 1]);
  });

  it('sends again what a queue could not take for a moment, and not what it has taken', async () => {
    const queues = new FakeQueues();
    queues.befall = (_, { body }, call) =>
      body === 'b' && call < 3 ? { errorName: 'InternalError', isTransient: true } : undefined;
    expect(
      await sendAll(
        queues,
        ['a', 'b', 'c'].map((body) => message(body)),
      ),
    ).toEqual({});
    expect(bodiesOf(queues.calls)).toEqual([['a', 'b', 'c'], ['b'], ['b']]);
  });

  it('gives up on what a queue goes on not taking, and at once on what it never will', async () => {
    const queues = new FakeQueues();
    queues.befall = (_, { body }) => ({ errorName: body, isTransient: body === 'InternalError' });
    const failed = await sendAll(queues, [message('InternalError'), message('AccessDenied')]);
    expect(failed).toEqual({ InternalError: 'SQS: InternalError', AccessDenied: 'SQS: AccessDenied' });
    expect(bodiesOf(queues.calls)).toEqual([
      ['InternalError', 'AccessDenied'],
      ...Array.from({ length: 4 }, () => ['InternalError']),
    ]);
  });

  it('waits twice as long before each further attempt, and draws the wait from all of that', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    const queues = new FakeQueues();
    queues.befall = () => ({ errorName: 'InternalError', isTransient: true });
    await sendAll(queues, [message('a')]);
    const waits = vi.mocked(sleep).mock.calls;
    expect(waits.map(([ms]) => ms)).toEqual([25, 50, 100, 200]);
    expect(waits.map(([, , options]) => options?.signal)).toEqual(waits.map(() => neverAborted));
  });

  it('says whether the queue refuses what the message holds', async () => {
    const queues = new FakeQueues();
    const outbox = new Outbox(queues, URL, neverAborted);
    queues.befall = () => ({ errorName: 'InvalidMessageContents', isTransient: false, refusesContent: true });
    expect(await errorOf(outbox.send(message('a')))).toMatchObject({ name: 'NotSent', refusesContent: true });
    queues.befall = () => ({ errorName: 'AccessDenied', isTransient: false });
    expect(await errorOf(outbox.send(message('a')))).toMatchObject({ name: 'NotSent', refusesContent: false });
  });

  it('sends a message that comes later in a call of its own', async () => {
    const queues = new FakeQueues();
    const outbox = new Outbox(queues, URL, neverAborted);
    await outbox.send(message('a'));
    await outbox.send(message('b'));
    expect(bodiesOf(queues.calls)).toEqual([['a'], ['b']]);
  });

  it('tells what was not sent when its time is up while it waits', async () => {
    const queues = new FakeQueues();
    const over = new AbortController();
    queues.befall = () => ({ errorName: 'InternalError', isTransient: true });
    vi.mocked(sleep).mockImplementationOnce(() => {
      over.abort();
      return Promise.reject(new Error('aborted'));
    });
    expect(await sendAll(queues, [message('a')], over.signal)).toEqual({ a: 'SQS: InternalError' });
    expect(queues.calls).toHaveLength(2);
  });

  it('tries nothing again when its time is up', async () => {
    const queues = new FakeQueues();
    const over = new AbortController();
    queues.befall = () => {
      over.abort();
      return { errorName: 'InternalError', isTransient: true };
    };
    const outbox = new Outbox(queues, URL, over.signal);
    expect(await errorOf(outbox.send(message('a')))).toMatchObject({ message: 'SQS: InternalError' });
    expect(queues.calls).toHaveLength(1);
  });
});
