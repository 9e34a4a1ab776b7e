import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KeyfoldError } from '../../../src/index.ts';
import type { OutgoingMessage } from '../../../src/sqs/message.ts';
import { errorOf, FakeDependencies } from '../../support/fakes.ts';
import { captureOutput } from '../../support/http-door.ts';
import { DEAD_LETTERS, FakeQueues, FIFO, openQueueDoor, queueRecord, sealing } from '../../support/queue-door.ts';

let world: FakeDependencies;
let queues: FakeQueues;
let output: ReturnType<typeof captureOutput>;

beforeEach(() => {
  world = new FakeDependencies();
  queues = new FakeQueues();
  output = captureOutput();
});
afterEach(() => vi.restoreAllMocks());

function open(): ReturnType<typeof openQueueDoor> {
  return openQueueDoor({ world, queues, queue: FIFO });
}

/**
 * Records in order. A name gives the group and the position: `a1` is the first record of the group `a`. An exclamation
 * mark means that the function cannot process the message.
 */
function records(...names: string[]): ReturnType<typeof queueRecord>[] {
  return names.map((name) =>
    queueRecord(name.replace('!', ''), name.endsWith('!') ? 'bad' : sealing(name), { groupId: name.charAt(0) }),
  );
}

/** The groups of the messages, in order. */
function groupsOf(messages: readonly OutgoingMessage[]): (string | undefined)[] {
  return messages.map(({ groupId }) => groupId);
}

/** The IDs of the messages that have a result. */
function sourcesOf(messages: readonly OutgoingMessage[], names: readonly string[]): (string | undefined)[] {
  const ids = new Map(names.map((name) => [deduplicationId(name), name]));
  return messages.map(({ deduplicationId: id }) => ids.get(id ?? ''));
}

function deduplicationId(name: string): string {
  const source = `arn:aws:sqs:us-west-2:111122223333:keyfold-input.fifo\n${name.charAt(0)}\n${name}`;
  return createHash('sha256').update(source).digest('hex');
}

describe('the function for a FIFO queue', () => {
  it('gives a result the group of its message, and the same deduplication ID at each delivery', async () => {
    await open()(records('a1'));
    await open()(records('a1', 'a2'));
    expect(groupsOf(queues.in(FIFO.outputUrl))).toEqual(['a', 'a', 'a']);
    expect(sourcesOf(queues.in(FIFO.outputUrl), ['a1', 'a2'])).toEqual(['a1', 'a1', 'a2']);
  });

  it('never sends two results of one group at the same time', async () => {
    const names = ['a1', 'a2', 'b1', 'a3', 'b2', 'c1', 'c2', 'd1', 'b3', 'a4'];
    let underWay: string[] = [];
    queues.delay = async (messages) => {
      const groups = groupsOf(messages).map(String);
      expect(groups.filter((group) => underWay.includes(group))).toEqual([]);
      expect(new Set(groups).size).toBe(groups.length);
      underWay.push(...groups);
      await new Promise((resolve) => setTimeout(resolve, 1 + (groups[0] === 'a' ? 5 : 0)));
      underWay = underWay.filter((group) => !groups.includes(group));
    };
    expect(await open()(records(...names))).toEqual([]);
    const sent = sourcesOf(queues.in(FIFO.outputUrl), names);
    for (const group of ['a', 'b', 'c', 'd']) {
      const own = (name: string | undefined): boolean => name?.startsWith(group) === true;
      expect(sent.filter(own)).toEqual(names.filter(own));
    }
    expect(queues.calls.length).toBeLessThanOrEqual(6);
  });

  it.for(['KMS', 'the output queue'])(
    'returns only the failed message and the later messages of its group if %s fails',
    async (who) => {
      const byKms = who === 'KMS';
      const down = new KeyfoldError('KmsUnavailable', 'why');
      world.kms.interfere = () => (byKms ? Promise.reject(down) : undefined);
      queues.faultOf = (_, { groupId }) =>
        groupId === 'a' ? { errorName: 'AccessDenied', isTransient: false } : undefined;
      const names = byKms ? ['a1', 'b1!', 'a2', 'a3', 'b2!'] : ['a1', 'b1', 'a2', 'a3', 'b2'];
      expect(await open()(records(...names))).toEqual(['a1', 'a2', 'a3']);
      expect(queues.postponed.map(({ receiptHandle }) => receiptHandle)).toEqual(
        ['a1', 'a2', 'a3'].map((name) => `handle of ${name}`),
      );
      expect(new Set(queues.postponed.map(({ delaySeconds }) => delaySeconds)).size).toBe(1);
      expect(queues.in(DEAD_LETTERS)).toHaveLength(byKms ? 2 : 0);
      expect(groupsOf(queues.in(FIFO.outputUrl))).toEqual(byKms ? [] : ['b', 'b']);
    },
  );

  it('gives all returned messages of a group the delay of the first failed message', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1);
    world.kms.interfere = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'why'));
    const counted = [4, 1].map((receiveCount, i) => queueRecord(`a${i}`, sealing(), { groupId: 'a', receiveCount }));
    expect(await open()(counted)).toEqual(['a0', 'a1']);
    expect(queues.postponed.map(({ delaySeconds }) => delaySeconds)).toEqual([40, 40]);
    expect(output.lines()).toContainEqual(expect.objectContaining({ code: 'Behind', MessagesRetried: 1 }));
  });

  it('fails for a message of a standard queue before it sends any result', async () => {
    expect(await errorOf(open()([queueRecord('a', sealing())]))).toMatchObject({
      code: 'InvalidConfiguration',
      message: expect.stringContaining('one of the source queue and the output queue is a FIFO queue') as string,
    });
    expect(queues.calls).toEqual([]);
  });

  it('moves an invalid message to the dead-letter queue, and continues with the rest of the group', async () => {
    expect(await open()(records('a1', 'a2!', 'a3'))).toEqual([]);
    expect(sourcesOf(queues.in(FIFO.outputUrl), ['a1', 'a3'])).toEqual(['a1', 'a3']);
    expect(queues.in(FIFO.deadLetterUrl)).toMatchObject([
      { body: 'bad', groupId: 'a', deduplicationId: deduplicationId('a2') },
    ]);
  });

  it("stops a group if the dead-letter queue does not accept the group's invalid message", async () => {
    queues.faultOf = (url) =>
      url === FIFO.deadLetterUrl ? { errorName: 'AccessDenied', isTransient: false } : undefined;
    expect(await open()(records('a1', 'a2!', 'a3'))).toEqual(['a2', 'a3']);
    expect(sourcesOf(queues.in(FIFO.outputUrl), ['a1', 'a3'])).toEqual(['a1']);
  });
});
