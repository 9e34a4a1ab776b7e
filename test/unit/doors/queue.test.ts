import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeCompactRecord } from '../../../src/records/compact-record.ts';
import { KeyfoldError } from '../../../src/index.ts';
import type { OutgoingMessage } from '../../../src/sqs/message.ts';
import type { Queues } from '../../../src/sqs/queues.ts';
import { errorOf, FakeDependencies } from '../../support/fakes.ts';
import { captureOutput } from '../../support/http-door.ts';
import {
  DEAD_LETTERS,
  FakeQueues,
  openQueueDoor,
  OUTPUT,
  queueRecord,
  sampleRecord,
  sealing,
} from '../../support/queue-door.ts';

let world: FakeDependencies;
let queues: FakeQueues;
let output: ReturnType<typeof captureOutput>;

beforeEach(() => {
  world = new FakeDependencies();
  queues = new FakeQueues();
  output = captureOutput();
});
afterEach(() => vi.restoreAllMocks());

function open(options: Parameters<typeof openQueueDoor>[0] = {}): ReturnType<typeof openQueueDoor> {
  return openQueueDoor({ world, queues, ...options });
}

function codesOf(messages: readonly OutgoingMessage[]): unknown[] {
  return messages.map(({ attributes }) => attributes['keyfold-error-code']?.StringValue);
}

/** A standard queue's message of a group. */
function grouped(id: string, body: unknown): ReturnType<typeof queueRecord> {
  const record = queueRecord(id, body);
  return { ...record, attributes: { ...record.attributes, MessageGroupId: 'tenant-1' } };
}

function placesIn(from: FakeQueues, url: string): unknown[] {
  return from.in(url).map(({ groupId, deduplicationId }) => [groupId, deduplicationId]);
}

/** Processes whose keys carry a region suffix. */
class RegionalDependencies extends FakeDependencies {
  override process(options: Parameters<FakeDependencies['process']>[0] = {}): ReturnType<FakeDependencies['process']> {
    return super.process({ regionSuffix: 'us-west-2', ...options });
  }
}

describe('a message', () => {
  it('has its result sent with the attributes that it came with, and is then acknowledged', async () => {
    expect(await open()([sampleRecord('queue-standard')])).toEqual([]);
    const [result] = queues.in(OUTPUT);
    expect(JSON.parse(result?.body ?? '')).toEqual({
      document: { name: 'Ada', card: expect.stringMatching(/^kf1j\./) as string },
    });
    expect(result?.attributes).toEqual({
      order: { DataType: 'Number', StringValue: '1001' },
      trace: { DataType: 'String', StringValue: 'a-b-c' },
      mark: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) },
    });
    expect([result?.groupId, result?.deduplicationId]).toEqual([undefined, undefined]);
    expect(queues.in(DEAD_LETTERS)).toEqual([]);
    expect(queues.postponed).toEqual([]);
  });

  it('keeps its group, by which a standard queue is fair, and has no deduplication id', async () => {
    expect(await open()([grouped('a', sealing()), grouped('b', 'bad'), queueRecord('c', sealing())])).toEqual([]);
    expect(placesIn(queues, OUTPUT)).toEqual([
      ['tenant-1', undefined],
      [undefined, undefined],
    ]);
    expect(placesIn(queues, DEAD_LETTERS)).toEqual([['tenant-1', undefined]]);
  });

  it('of a group does not wait for another of a standard queue, nor come back with it', async () => {
    queues.befall = (_url, message, call) =>
      call === 1 && message === queues.calls[0]?.messages[0]
        ? { errorName: 'AccessDenied', isTransient: false }
        : undefined;
    expect(await open()([grouped('a', sealing()), grouped('b', sealing())])).toEqual(['a']);
  });

  it('is not acknowledged before its result is in the output queue', async () => {
    const { promise: taken, resolve: take } = Promise.withResolvers<void>();
    queues.delay = () => taken;
    let answered = false;
    const answer = open()([queueRecord('a', sealing())]).then((failed) => {
      answered = true;
      return failed;
    });
    await vi.waitFor(() => expect(queues.calls).toHaveLength(1));
    expect(answered).toBe(false);
    take();
    expect(await answer).toEqual([]);
  });

  it('that names no fields means the configured ones, and one that does means its own', async () => {
    const handle = open({ queue: { fields: ['$.card'] } });
    const document = { card: 1, name: 2 };
    await handle([queueRecord('a', { partition: 'p', document })]);
    await handle([queueRecord('b', { partition: 'p', document, fields: ['$.name'] })]);
    const sealed = queues.in(OUTPUT).map(({ body }) => JSON.parse(body) as unknown);
    expect(sealed).toMatchObject([{ document: { name: 2 } }, { document: { card: 1 } }]);
  });

  it('may ask for whatever the function is allowed to do, and for nothing else', async () => {
    const handle = open({ config: { serves: { operations: ['encrypt-fields', 'decrypt-fields'] } } });
    await handle([queueRecord('a', sealing({ digits: 1 }))]);
    const [sealed] = queues.in(OUTPUT).map(({ body }) => JSON.parse(body) as { document: unknown });
    await handle([queueRecord('b', { operation: 'decrypt-fields', partition: 'tenant-1', ...sealed, all: true })]);
    expect(queues.in(OUTPUT).at(-1)?.body).toBe('{"document":{"value":{"digits":1}}}');
    await handle([queueRecord('c', { operation: 'encrypt', partition: 'tenant-1', plaintext: 'aGVsbG8=' })]);
    expect(codesOf(queues.in(DEAD_LETTERS))).toEqual(['Forbidden']);
  });

  it('that asks for all fields does not mean the configured ones, and one without fields has none', async () => {
    const operations = ['encrypt-fields', 'decrypt-fields', 'encrypt'] as const;
    const handle = open({ queue: { fields: ['$.a'] }, config: { serves: { operations } } });
    await handle([queueRecord('a', { partition: 'p', document: { a: 1, b: 2 }, fields: ['$.a', '$.b'] })]);
    const [sealed] = queues.in(OUTPUT).map(({ body }) => JSON.parse(body) as object);
    await handle([queueRecord('b', { operation: 'decrypt-fields', partition: 'p', ...sealed, all: true })]);
    expect(queues.in(OUTPUT).at(-1)?.body).toBe('{"document":{"a":1,"b":2}}');
    await handle([queueRecord('c', { operation: 'encrypt', partition: 'p', plaintext: '' })]);
    expect(queues.in(OUTPUT).at(-1)?.body).toMatch(/^\{"record":/);
    expect(queues.in(DEAD_LETTERS)).toEqual([]);
  });

  it('keeps binary attributes of a type of their own', async () => {
    const attributes = { mark: { dataType: 'Binary.gif', binaryValue: 'AP8=' } };
    await open()([queueRecord('a', sealing(), { attributes })]);
    expect(queues.in(OUTPUT)[0]?.attributes).toEqual({
      mark: { DataType: 'Binary.gif', BinaryValue: Buffer.from([0, 255]) },
    });
  });

  it('has the configured fields opened where it asks for that and names none', async () => {
    const operations = ['encrypt-fields', 'decrypt-fields'] as const;
    const handle = open({ queue: { fields: ['$.value'] }, config: { serves: { operations } } });
    await handle([queueRecord('a', { partition: 'p', document: { value: 1 } })]);
    const [sealed] = queues.in(OUTPUT).map(({ body }) => JSON.parse(body) as object);
    await handle([queueRecord('b', { operation: 'decrypt-fields', partition: 'p', ...sealed })]);
    expect(queues.in(OUTPUT).at(-1)?.body).toBe('{"document":{"value":1}}');
  });

  it('has a result of characters that SQS takes, whatever was sealed', async () => {
    const operations = ['encrypt', 'decrypt-fields', 'encrypt-fields'] as const;
    const handle = open({ config: { serves: { operations } } });
    // What SQS brings has no such character in it, but for its being escaped.
    await handle([queueRecord('a', '{"partition":"p","document":{"value":"\\uffff"},"fields":["$.value"]}')]);
    const text = JSON.stringify({ ['a\uffff']: '\ufffe' });
    await handle([queueRecord('b', { partition: 'p', documentText: text, fields: ["$['a\uffff']"] })]);
    const sealed = queues.in(OUTPUT).map(({ body }) => JSON.parse(body) as object);
    await handle([queueRecord('c', { operation: 'decrypt-fields', partition: 'p', ...sealed[1], all: true })]);
    const opened = queues.in(OUTPUT).at(-1)?.body ?? '';
    expect(opened).not.toMatch(/[\ufffe\uffff]/);
    expect(JSON.parse((JSON.parse(opened) as { documentText: string }).documentText)).toEqual({
      ['a\uffff']: '\ufffe',
    });
  });
});

describe('of what fails', () => {
  it('a message whose time is up comes back, though its key is warm', async () => {
    const door = open({ config: { deadlineMarginMs: 700 } });
    expect(await door([queueRecord('a', sealing())], 30_000)).toEqual([]);
    expect(await door([queueRecord('b', sealing())], 1000)).toEqual(['b']);
  });

  it.for([
    ['KeyNotYetVisible', 'retried'],
    ['KmsThrottled', 'retried'],
    ['KmsUnavailable', 'retried'],
    ['KmsMisconfigured', 'retried'],
    ['KeyRowUnreadable', 'retried'],
    ['MetastoreUnavailable', 'retried'],
    ['DeadlineExceeded', 'retried'],
    ['Internal', 'retried'],
    ['InvalidConfiguration', 'retried'],
    ['Unauthenticated', 'dead-lettered'],
    ['Forbidden', 'dead-lettered'],
    ['NotFound', 'dead-lettered'],
    ['MethodNotAllowed', 'dead-lettered'],
    ['UnsupportedMediaType', 'dead-lettered'],
    ['InvalidRequest', 'dead-lettered'],
    ['PayloadTooLarge', 'dead-lettered'],
    ['FieldNotFound', 'dead-lettered'],
    ['RecordUnreadable', 'dead-lettered'],
  ] as const)('a message with %s is %s', async ([code, fate]) => {
    world.metastore.interfere = () => Promise.reject(new KeyfoldError(code, 'why'));
    const failed = await open()([queueRecord('a', sealing())]);
    expect(failed).toEqual(fate === 'retried' ? ['a'] : []);
    expect(queues.postponed.map(({ receiptHandle }) => receiptHandle)).toEqual(failed.map((id) => `handle of ${id}`));
    expect(codesOf(queues.in(DEAD_LETTERS))).toEqual(fate === 'retried' ? [] : [code]);
    expect(queues.in(OUTPUT)).toEqual([]);
    const metric = fate === 'retried' ? 'MessagesRetried' : 'MessagesDeadLettered';
    expect(output.lines()).toContainEqual(expect.objectContaining({ code, [metric]: 1 }));
  });

  it.for([
    ['is not JSON', '{"partition":"p', 'InvalidRequest'],
    ['is no object', '[]', 'InvalidRequest'],
    ['is null', 'null', 'InvalidRequest'],
    ['is a text', '"a"', 'InvalidRequest'],
    ['has no partition', { document: {} }, 'InvalidRequest'],
    ['asks for what there is not', { operation: 'shred', partition: 'p' }, 'InvalidRequest'],
    ['names a field that is not there', { partition: 'p', document: {}, fields: ['$.card'] }, 'FieldNotFound'],
    ['asks for what this function does not serve', { operation: 'decrypt', partition: 'p' }, 'Forbidden'],
    ['has a result that is larger than a message', sealing('x'.repeat(800_000)), 'PayloadTooLarge'],
  ] as const)('a message that %s goes to the dead-letter queue as it came', async ([, body, code]) => {
    const record = queueRecord('a', body, { attributes: sampleRecord('queue-standard').messageAttributes });
    expect(await open()([record])).toEqual([]);
    const [letter] = queues.in(DEAD_LETTERS);
    expect(letter?.body).toBe(record.body);
    expect(letter?.attributes).toMatchObject({
      order: { StringValue: '1001' },
      'keyfold-error-code': { DataType: 'String', StringValue: code },
    });
  });

  it('one bad message does not fail the rest', async () => {
    const records = [queueRecord('a', sealing()), queueRecord('b', 'bad'), queueRecord('c', sealing())];
    expect(await open()(records)).toEqual([]);
    expect(queues.in(OUTPUT)).toHaveLength(2);
    expect(queues.in(DEAD_LETTERS)).toHaveLength(1);
  });

  it('a result that the output queue will never take is a dead letter, and not for the message to come back', async () => {
    queues.befall = (url) =>
      url === OUTPUT ? { errorName: 'InvalidParameterValue', isTransient: false, refusesContent: true } : undefined;
    expect(await open()([queueRecord('a', sealing())])).toEqual([]);
    expect(queues.in(DEAD_LETTERS)).toMatchObject([
      { attributes: { 'keyfold-error-code': { StringValue: 'PayloadTooLarge' } } },
    ]);
  });

  it('a result that is too large for SQS with its attributes is a dead letter', async () => {
    const large = { dataType: 'String', stringValue: 'x'.repeat(100_000) };
    const attributes = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`a${i}`, large]));
    const document = { a: 1, b: 'x'.repeat(148_350) };
    const record = queueRecord('a', { partition: 'p', document, fields: ['$.a'] }, { attributes });
    expect(await open()([record])).toEqual([]);
    expect(queues.in(OUTPUT)).toHaveLength(0);
    expect(codesOf(queues.in(DEAD_LETTERS))).toEqual(['PayloadTooLarge']);
  });

  it('why the output queue refuses a result is logged', async () => {
    queues.befall = (url) =>
      url === OUTPUT ? { errorName: 'InvalidParameterValue', isTransient: false, refusesContent: true } : undefined;
    await open()([queueRecord('a', sealing())]);
    expect(output.lines()).toContainEqual(
      expect.objectContaining({ code: 'PayloadTooLarge', reasons: ['SQS: InvalidParameterValue'] }),
    );
  });

  it('a message that no queue took is told apart from one that could not be done', async () => {
    queues.befall = () => ({ errorName: 'AccessDenied', isTransient: false });
    await open()([queueRecord('a', 'bad'), queueRecord('b', sealing())]);
    expect(output.lines()).toContainEqual(
      expect.objectContaining({ code: 'NotSent', details: ['SQS: AccessDenied'], messageIds: ['a', 'b'] }),
    );
  });

  it('a dead letter that the dead-letter queue will never take comes back', async () => {
    const fault = { errorName: 'InvalidParameterValue', isTransient: false, refusesContent: true };
    queues.befall = () => fault;
    expect(await open()([queueRecord('a', 'bad'), queueRecord('b', sealing())])).toEqual(['a', 'b']);
  });

  it('a value that looks sealed under a key that DynamoDB could only refuse is sealed with skipSealed', async () => {
    const regional = new RegionalDependencies();
    const { key, data } = await regional.process().session('tenant-1').encrypt(Buffer.from('1'));
    const parent = { ...key.parent, id: `_IK_tenant-1_svc_prod_us-${'a'.repeat(3000)}-1` };
    const value = encodeCompactRecord({ key: { ...key, parent }, data }, 'json');
    regional.log.take();
    const body = { ...sealing(value), skipSealed: true };
    expect(await openQueueDoor({ world: regional, queues })([queueRecord('a', body)])).toEqual([]);
    expect(queues.in(OUTPUT)).toHaveLength(1);
    expect(regional.log.take()).not.toContain('Get IK');
  });

  it('a dead letter that the dead-letter queue does not take comes back', async () => {
    queues.befall = (url) => (url === DEAD_LETTERS ? { errorName: 'AccessDenied', isTransient: false } : undefined);
    expect(await open()([queueRecord('a', 'bad'), queueRecord('b', sealing())])).toEqual(['a']);
    expect(queues.in(OUTPUT)).toHaveLength(1);
  });

  it('a dead letter loses none of its own attributes to the error code, nor its body', async () => {
    const attribute = { dataType: 'String', stringValue: 'v' };
    const ten = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`a${i}`, attribute]));
    const large = `"${'x'.repeat(1_048_570)}"`;
    await open()([queueRecord('a', 'bad', { attributes: ten }), queueRecord('b', large)]);
    const [many, long] = queues.in(DEAD_LETTERS);
    expect(Object.keys(many?.attributes ?? {})).toEqual(Object.keys(ten));
    expect(long).toMatchObject({ body: large, attributes: {} });
    expect(output.text()).toContain('"messageIds":["a","b"]');
  });

  it('a dead letter that was sent back loses its error code, and keeps its other attributes', async () => {
    const attributes = {
      'keyfold-error-code': { dataType: 'String', stringValue: 'Forbidden' },
      order: { dataType: 'Number', stringValue: '1001' },
    };
    const large = `"${'x'.repeat(1_048_550)}"`;
    await open()([
      queueRecord('a', sealing(), { attributes }),
      queueRecord('b', 'bad', { attributes }),
      queueRecord('c', large, { attributes }),
    ]);
    const order = { DataType: 'Number', StringValue: '1001' };
    expect(queues.in(OUTPUT).map((message) => message.attributes)).toEqual([{ order }]);
    expect(queues.in(DEAD_LETTERS).map((message) => message.attributes)).toEqual([
      { order, 'keyfold-error-code': { DataType: 'String', StringValue: 'InvalidRequest' } },
      // There is no room for one.
      { order },
    ]);
  });

  it('a batch operation with an item that a retry can mend comes back whole, and one with a bad item goes out', async () => {
    const handle = open({ config: { serves: {} } });
    const batch = {
      operation: 'encrypt-batch',
      partition: 'p',
      items: [{ plaintext: 'aGVsbG8=' }, { plaintext: 'x' }],
    };
    world.kms.interfere = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'why'));
    expect(await handle([queueRecord('a', batch)])).toEqual(['a']);
    world.kms.interfere = () => {};
    expect(await handle([queueRecord('a', batch)])).toEqual([]);
    expect(queues.in(OUTPUT)).toHaveLength(1);
    expect(queues.in(OUTPUT)[0]?.body).toMatch(/\{"results":\[\{"record":.*\{"error":\{"code":"InvalidRequest"/);
  });

  it('nothing of a body is logged', async () => {
    vi.stubEnv('POWERTOOLS_LOGGER_LOG_EVENT', 'true');
    vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'DEBUG');
    const handle = open({ config: { serves: {} } });
    world.metastore.interfere = (call) => {
      if (call.startsWith('Put')) throw new TypeError('CANARY is not\n    at CANARY a function');
    };
    await handle([
      queueRecord('a', '{"CANARY": CANARY'),
      queueRecord('b', { ...sealing('CANARY'), CANARY: 'CANARY' }),
      queueRecord('c', sealing('CANARY')),
      queueRecord('d', { partition: 'p', operation: 'decrypt', record: 'kf1.CANARY' }),
      queueRecord('e', { partition: 'p', document: { CANARY: 1 }, fields: ["$['CANARY']['x']"] }),
    ]);
    vi.unstubAllEnvs();
    expect(queues.in(DEAD_LETTERS)).toHaveLength(4);
    expect(output.text()).toContain('TypeError at ');
    expect(output.text()).not.toContain('CANARY');
  });

  it('messages come back the later the more often they came, at most after a quarter of an hour, not all at once', async () => {
    world.kms.interfere = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'why'));
    const counts = [1, 2, 3, 8, 9, 50, 2000];
    const records = counts.flatMap((receiveCount) =>
      Array.from({ length: 20 }, (_, i) => queueRecord(`${receiveCount} ${i}`, sealing(), { receiveCount })),
    );
    await open()(records);
    const delays = counts.map((_, i) => queues.postponed.slice(20 * i, 20 * i + 20).map((one) => one.delaySeconds));
    const within = delays.map((some) => [Math.min(...some), Math.max(...some)]);
    const longest = [5, 10, 20, 640, 900, 900, 900];
    within.forEach(([least = 0, most = 0], i) => {
      expect(least).toBeGreaterThanOrEqual((longest[i] ?? 0) / 2);
      expect(most).toBeLessThanOrEqual(longest[i] ?? 0);
    });
    expect(new Set(delays[5]).size).toBeGreaterThan(10);
  });

  it('a message that cannot be hidden is told of, and comes back all the same', async () => {
    queues.postponeFaults = ['MessageNotInflight'];
    world.kms.interfere = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'why'));
    expect(await open()([queueRecord('a', sealing())])).toEqual(['a']);
    expect(output.text()).toContain('MessageNotInflight');
  });

  it('a batch with messages of a queue of the other kind is not touched', async () => {
    const failing = open()([queueRecord('b', sealing()), queueRecord('a', sealing(), { groupId: 'g' })]);
    expect(await errorOf(failing)).toMatchObject({ code: 'InvalidConfiguration' });
    expect(queues.calls).toEqual([]);
  });
});

describe('a queue that the function sends to', () => {
  it.for(['outputUrl', 'deadLetterUrl'] as const)('is not one that messages come from: %s', async (name) => {
    const input = 'https://sqs.us-west-2.amazonaws.com/111122223333/keyfold-input';
    const records = [queueRecord('a', 'bad'), queueRecord('b', sealing())];
    const [first] = records as [ReturnType<typeof queueRecord>];
    const elsewhere = { ...first, eventSourceARN: `${first.eventSourceARN}-2` };
    expect(await errorOf(open({ queue: { [name]: input } })([elsewhere, ...records]))).toMatchObject({
      code: 'InvalidConfiguration',
    });
    expect(await errorOf(open({ queue: { [name]: input } })(records))).toMatchObject({ code: 'InvalidConfiguration' });
    expect(queues.calls).toEqual([]);
  });
});

describe('a large batch', () => {
  it('of 10,000 messages loads the keys of each partition once', async () => {
    const partitions = 20;
    const records = Array.from({ length: 10_000 }, (_, i) => queueRecord(`${i}`, sealing(i, `p${i % partitions}`)));
    expect(await open()(records)).toEqual([]);
    expect(queues.in(OUTPUT)).toHaveLength(10_000);
    const calls = world.log.take();
    expect(calls.filter((call) => call === 'Put IK')).toHaveLength(partitions);
    expect(calls.filter((call) => call === 'Wrap')).toHaveLength(1);
    expect(queues.calls.length).toBeLessThanOrEqual(1100);
  });

  it('that there is no time for is left where the time is up, and the rest comes back', async () => {
    const records = Array.from({ length: 1000 }, (_, i) => queueRecord(`${i}`, sealing()));
    queues.delay = () => {
      // Ten calls send what is done at once: after three times the time is up, but for less than the margin.
      world.clock.advance(690);
      return Promise.resolve();
    };
    const failed = await open()(records, 30_000);
    const done = queues.in(OUTPUT).length;
    expect(done).toBe(300);
    expect(failed).toHaveLength(1000 - done);
    expect(queues.postponed).toHaveLength(1000 - done);
    expect(output.text()).toContain('DeadlineExceeded');
  });

  it('is answered in time though KMS does not answer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    world.kms.interfere = () => new Promise(() => {});
    let failed: string[] | undefined;
    void open({ now: Date.now })([queueRecord('a', sealing())], 30_000).then((ids) => (failed = ids));
    // Operations have 70 % of the time, less the margin of 500 ms.
    await vi.advanceTimersByTimeAsync(20_499);
    expect(failed).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    expect(failed).toEqual(['a']);
    vi.useRealTimers();
  });

  it('is answered in time though SQS does not answer', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    const startMs = Date.now();
    const abortedAfterMs: number[] = [];
    const aborted = (signal: AbortSignal): Promise<void> =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          abortedAfterMs.push(Date.now() - startMs);
          resolve();
        });
      });
    const silent: Queues = {
      send: async (_url, messages, signal) => {
        await aborted(signal);
        return messages.map(() => ({ errorName: 'TimeoutError', isTransient: true }));
      },
      changeVisibility: async (_arn, _messages, signal) => {
        await aborted(signal);
        return ['TimeoutError'];
      },
    };
    let failed: string[] | undefined;
    const handle = open({ now: Date.now, queues: silent as FakeQueues });
    void handle([queueRecord('a', sealing())], 30_000).then((ids) => (failed = ids));
    // Sealing does not wait for a timer, and what is sent waits for the next turn of the event loop.
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    await vi.advanceTimersByTimeAsync(25_000);
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    await vi.advanceTimersByTimeAsync(4_500);
    expect(abortedAfterMs).toEqual([25_000, 29_500]);
    expect(failed).toEqual(['a']);
    vi.useRealTimers();
  });

  it('has at most a hundred messages under way', async () => {
    let underWay = 0;
    let most = 0;
    world.metastore.interfere = async () => {
      most = Math.max(most, (underWay += 1));
      await new Promise(setImmediate);
      underWay -= 1;
    };
    // A partition each, so that each has a key of its own to load.
    const records = Array.from({ length: 300 }, (_, i) => queueRecord(`${i}`, sealing(i, `p${i}`)));
    expect(await open()(records)).toEqual([]);
    expect(most).toBe(100);
  });
});
