import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeCompactRecord } from '../../../src/records/compact-record.ts';
import { KeyfoldError } from '../../../src/index.ts';
import { OPERATION_NAMES } from '../../../src/operations/operation-name.ts';
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

/** A message in a message group of a standard queue. */
function grouped(id: string, body: unknown): ReturnType<typeof queueRecord> {
  const record = queueRecord(id, body);
  return { ...record, attributes: { ...record.attributes, MessageGroupId: 'tenant-1' } };
}

function placesIn(from: FakeQueues, url: string): unknown[] {
  return from.in(url).map(({ groupId, deduplicationId }) => [groupId, deduplicationId]);
}

/** Processes of a service whose keys have a region suffix. */
class RegionalDependencies extends FakeDependencies {
  override process(options: Parameters<FakeDependencies['process']>[0] = {}): ReturnType<FakeDependencies['process']> {
    return super.process({ regionSuffix: 'us-west-2', ...options });
  }
}

describe('a queue message', () => {
  it("is acknowledged after its result has been sent with the message's attributes", async () => {
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
    expect([queues.postponed, queues.postponedIn]).toEqual([[], []]);
  });

  it('has a result with the same message group and without a deduplication ID', async () => {
    expect(await open()([grouped('a', sealing()), grouped('b', 'bad'), queueRecord('c', sealing())])).toEqual([]);
    expect(placesIn(queues, OUTPUT)).toEqual([
      ['tenant-1', undefined],
      [undefined, undefined],
    ]);
    expect(placesIn(queues, DEAD_LETTERS)).toEqual([['tenant-1', undefined]]);
  });

  it('in a standard queue is acknowledged even if another message of its group fails', async () => {
    queues.faultOf = (_url, message, call) =>
      call === 1 && message === queues.calls[0]?.messages[0]
        ? { errorName: 'AccessDenied', isTransient: false }
        : undefined;
    expect(await open()([grouped('a', sealing()), grouped('b', sealing())])).toEqual(['a']);
  });

  it('is acknowledged only after its result is in the output queue', async () => {
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

  it('has the configured fields encrypted if it names no fields', async () => {
    const handle = open({ queue: { fields: ['$.card'] } });
    const document = { card: 1, name: 2 };
    await handle([queueRecord('a', { partition: 'p', document })]);
    await handle([queueRecord('b', { partition: 'p', document, fields: ['$.name'] })]);
    const sealed = queues.in(OUTPUT).map(({ body }) => JSON.parse(body) as unknown);
    expect(sealed).toMatchObject([{ document: { name: 2 } }, { document: { card: 1 } }]);
  });

  it('may request only operations that the function allows', async () => {
    const handle = open({ config: { serves: { operations: ['encrypt-fields', 'decrypt-fields'] } } });
    await handle([queueRecord('a', sealing({ digits: 1 }))]);
    const [sealed] = queues.in(OUTPUT).map(({ body }) => JSON.parse(body) as { document: unknown });
    await handle([queueRecord('b', { operation: 'decrypt-fields', partition: 'tenant-1', ...sealed, all: true })]);
    expect(queues.in(OUTPUT).at(-1)?.body).toBe('{"document":{"value":{"digits":1}}}');
    await handle([queueRecord('c', { operation: 'encrypt', partition: 'tenant-1', plaintext: 'aGVsbG8=' })]);
    expect(codesOf(queues.in(DEAD_LETTERS))).toEqual(['Forbidden']);
  });

  it('does not use the configured fields if it has `all: true`, or if its operation takes no fields', async () => {
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

  it('keeps binary attributes and custom attribute types', async () => {
    const attributes = { mark: { dataType: 'Binary.gif', binaryValue: 'AP8=' } };
    await open()([queueRecord('a', sealing(), { attributes })]);
    expect(queues.in(OUTPUT)[0]?.attributes).toEqual({
      mark: { DataType: 'Binary.gif', BinaryValue: Buffer.from([0, 255]) },
    });
  });

  it('has the configured fields decrypted if it requests decrypt-fields and names no fields', async () => {
    const operations = ['encrypt-fields', 'decrypt-fields'] as const;
    const handle = open({ queue: { fields: ['$.value'] }, config: { serves: { operations } } });
    await handle([queueRecord('a', { partition: 'p', document: { value: 1 } })]);
    const [sealed] = queues.in(OUTPUT).map(({ body }) => JSON.parse(body) as object);
    await handle([queueRecord('b', { operation: 'decrypt-fields', partition: 'p', ...sealed })]);
    expect(queues.in(OUTPUT).at(-1)?.body).toBe('{"document":{"value":1}}');
  });

  it('has a result without the characters that SQS refuses', async () => {
    const operations = ['encrypt', 'decrypt-fields', 'encrypt-fields'] as const;
    const handle = open({ config: { serves: { operations } } });
    // SQS never delivers a character that it refuses, except as an escape.
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

  it('has a field encrypted despite skipSealed if the value of the field only looks encrypted', async () => {
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
});

describe('a queue message that fails', () => {
  it('returns to the queue if no time is left, even if its key is cached', async () => {
    const door = open({ config: { deadlineMarginMs: 700 } });
    expect(await door([queueRecord('a', sealing())], 30_000)).toEqual([]);
    expect(await door([queueRecord('b', sealing())], 1000)).toEqual(['b']);
    const details = ['The invocation has no time left for this message.'];
    expect(output.lines()).toContainEqual(expect.objectContaining({ code: 'DeadlineExceeded', details }));
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
    ['NotReady', 'retried'],
    ['Unauthenticated', 'dead-lettered'],
    ['Forbidden', 'dead-lettered'],
    ['NotFound', 'dead-lettered'],
    ['MethodNotAllowed', 'dead-lettered'],
    ['UnsupportedMediaType', 'dead-lettered'],
    ['InvalidRequest', 'dead-lettered'],
    ['PayloadTooLarge', 'dead-lettered'],
    ['FieldNotFound', 'dead-lettered'],
    ['ContextRequired', 'dead-lettered'],
    ['PartitionErased', 'dead-lettered'],
    ['RecordUnreadable', 'dead-lettered'],
  ] as const)('with the code %s is %s', async ([code, fate]) => {
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
    ['is not JSON', '{"partition":"p', 'InvalidRequest', 'The body is not JSON.'],
    ['is not an object', '[]', 'InvalidRequest', 'The event must be a JSON object.'],
    ['is null', 'null', 'InvalidRequest', 'The event must be a JSON object.'],
    ['is a string', '"a"', 'InvalidRequest', 'The event must be a JSON object.'],
    ['has no partition', { document: {} }, 'InvalidRequest', 'The event must have a partition.'],
    [
      'requests an unknown operation',
      { operation: 'shred', partition: 'p' },
      'InvalidRequest',
      `operation must be one of ${OPERATION_NAMES.join(', ')}.`,
    ],
    [
      'names a missing field',
      { partition: 'p', document: {}, fields: ['$.card'] },
      'FieldNotFound',
      'fields[0] selects nothing.',
    ],
    [
      'requests an operation that is not allowed',
      { operation: 'decrypt', partition: 'p' },
      'Forbidden',
      'This function does not serve that operation.',
    ],
    [
      'has a result too large for SQS',
      sealing('x'.repeat(800_000)),
      'PayloadTooLarge',
      'The answer would be too large to return.',
    ],
  ] as const)('that %s goes unchanged to the dead-letter queue', async ([, body, code, detail]) => {
    const record = queueRecord('a', body, { attributes: sampleRecord('queue-standard').messageAttributes });
    expect(await open()([record])).toEqual([]);
    const [letter] = queues.in(DEAD_LETTERS);
    expect(letter?.body).toBe(record.body);
    expect(letter?.attributes).toMatchObject({
      order: { StringValue: '1001' },
      'keyfold-error-code': { DataType: 'String', StringValue: code },
    });
    expect(output.lines()).toContainEqual(expect.objectContaining({ code, details: [detail] }));
  });

  it('does not affect the other messages of its batch', async () => {
    const records = [queueRecord('a', sealing()), queueRecord('b', 'bad'), queueRecord('c', sealing())];
    expect(await open()(records)).toEqual([]);
    expect(queues.in(OUTPUT)).toHaveLength(2);
    expect(queues.in(DEAD_LETTERS)).toHaveLength(1);
  });

  it('goes to the dead-letter queue if the output queue refuses the result permanently', async () => {
    queues.faultOf = (url) =>
      url === OUTPUT ? { errorName: 'InvalidParameterValue', isTransient: false, refusesContent: true } : undefined;
    expect(await open()([queueRecord('a', sealing())])).toEqual([]);
    expect(queues.in(DEAD_LETTERS)).toMatchObject([
      { attributes: { 'keyfold-error-code': { StringValue: 'PayloadTooLarge' } } },
    ]);
  });

  it('goes to the dead-letter queue if its result and attributes together are too large for SQS', async () => {
    const large = { dataType: 'String', stringValue: 'x'.repeat(100_000) };
    const attributes = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`a${i}`, large]));
    const document = { a: 1, b: 'x'.repeat(148_350) };
    const record = queueRecord('a', { partition: 'p', document, fields: ['$.a'] }, { attributes });
    expect(await open()([record])).toEqual([]);
    expect(queues.in(OUTPUT)).toHaveLength(0);
    expect(codesOf(queues.in(DEAD_LETTERS))).toEqual(['PayloadTooLarge']);
  });

  it('is logged with the reason why the output queue refused the result', async () => {
    queues.faultOf = (url) =>
      url === OUTPUT ? { errorName: 'InvalidParameterValue', isTransient: false, refusesContent: true } : undefined;
    await open()([queueRecord('a', sealing())]);
    expect(output.lines()).toContainEqual(
      expect.objectContaining({
        code: 'PayloadTooLarge',
        details: ['The output queue refuses the content of the result.'],
        reasons: ['SQS: InvalidParameterValue'],
      }),
    );
  });

  it('is reported with the code NotSent if neither the message nor its result can be sent to a queue', async () => {
    queues.faultOf = () => ({ errorName: 'AccessDenied', isTransient: false });
    await open()([queueRecord('a', 'bad'), queueRecord('b', sealing())]);
    expect(output.lines()).toContainEqual(
      expect.objectContaining({ code: 'NotSent', details: ['SQS: AccessDenied'], messageIds: ['a', 'b'] }),
    );
  });

  it('returns to the source queue if the dead-letter queue refuses the message permanently', async () => {
    const fault = { errorName: 'InvalidParameterValue', isTransient: false, refusesContent: true };
    queues.faultOf = () => fault;
    expect(await open()([queueRecord('a', 'bad'), queueRecord('b', sealing())])).toEqual(['a', 'b']);
  });

  it('returns to the source queue if the dead-letter queue refuses the message temporarily', async () => {
    queues.faultOf = (url) => (url === DEAD_LETTERS ? { errorName: 'AccessDenied', isTransient: false } : undefined);
    expect(await open()([queueRecord('a', 'bad'), queueRecord('b', sealing())])).toEqual(['a']);
    expect(queues.in(OUTPUT)).toHaveLength(1);
  });

  it('has no error code in the dead-letter queue if the message has no room for the attribute', async () => {
    const attribute = { dataType: 'String', stringValue: 'v' };
    const ten = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`a${i}`, attribute]));
    const large = `"${'x'.repeat(1_048_570)}"`;
    await open()([queueRecord('a', 'bad', { attributes: ten }), queueRecord('b', large)]);
    const [many, long] = queues.in(DEAD_LETTERS);
    expect(Object.keys(many?.attributes ?? {})).toEqual(Object.keys(ten));
    expect(long?.body).toBe(large);
    expect(long?.attributes).toEqual({});
    expect(output.text()).toContain('"messageIds":["a","b"]');
  });

  it('loses the error code of an earlier failure, but keeps the other attributes of the message', async () => {
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
      // The dead letter has no error code, because its message already has as many attributes as SQS allows.
      { order },
    ]);
  });

  it('with a batch operation returns to the queue only if an item failed with a retryable error', async () => {
    const handle = open({ config: { serves: {} } });
    const batch = {
      operation: 'encrypt-batch',
      partition: 'p',
      items: [{ plaintext: 'aGVsbG8=' }, { plaintext: 'x' }],
    };
    world.kms.interfere = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'why'));
    for (const items of [batch.items, batch.items.toReversed()])
      expect(await handle([queueRecord('a', { ...batch, items })])).toEqual(['a']);
    world.kms.interfere = () => {};
    expect(await handle([queueRecord('a', batch)])).toEqual([]);
    expect(queues.in(OUTPUT)).toHaveLength(1);
    expect(queues.in(OUTPUT)[0]?.body).toMatch(/\{"results":\[\{"record":.*\{"error":\{"code":"InvalidRequest"/);
  });

  it('leaves no part of its body in the log', async () => {
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

  it('returns to the queue after random delays that grow to at most 15 minutes', async () => {
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

  it('returns to the queue even if SQS refuses to set the delay of the message', async () => {
    queues.postponeFaults = ['MessageNotInflight'];
    world.kms.interfere = () => Promise.reject(new KeyfoldError('KmsUnavailable', 'why'));
    const record = queueRecord('a', sealing());
    expect(await open()([record])).toEqual(['a']);
    expect(queues.postponedIn).toEqual([record.eventSourceARN]);
    expect(output.text()).toContain('MessageNotInflight');
  });

  it('from the wrong kind of queue makes the whole batch fail before any result is sent', async () => {
    const failing = open()([queueRecord('b', sealing()), queueRecord('a', sealing(), { groupId: 'g' })]);
    expect(await errorOf(failing)).toMatchObject({
      code: 'InvalidConfiguration',
      message: expect.stringContaining('one of the source queue and the output queue is a FIFO queue') as string,
    });
    expect(queues.calls).toEqual([]);
  });
});

describe('the queue function', () => {
  it.for([
    ['output queue', 'outputUrl'],
    ['dead-letter queue', 'deadLetterUrl'],
  ] as const)('refuses to run if its %s is also the source of its messages', async ([, name]) => {
    const input = 'https://sqs.us-west-2.amazonaws.com/111122223333/keyfold-input';
    const records = [queueRecord('a', 'bad'), queueRecord('b', sealing())];
    const [first] = records as [ReturnType<typeof queueRecord>];
    const elsewhere = { ...first, eventSourceARN: `${first.eventSourceARN}-2` };
    const refusal = {
      code: 'InvalidConfiguration',
      message: expect.stringContaining('the source queue is also the output queue or the dead-letter queue') as string,
    };
    expect(await errorOf(open({ queue: { [name]: input } })([elsewhere, ...records]))).toMatchObject(refusal);
    expect(await errorOf(open({ queue: { [name]: input } })(records))).toMatchObject(refusal);
    expect(queues.calls).toEqual([]);
  });
});

describe('a large batch', () => {
  it("of 10,000 messages loads each partition's keys only once", async () => {
    const partitions = 20;
    const records = Array.from({ length: 10_000 }, (_, i) => queueRecord(`${i}`, sealing(i, `p${i % partitions}`)));
    expect(await open()(records)).toEqual([]);
    expect(queues.in(OUTPUT)).toHaveLength(10_000);
    const calls = Object.entries(Object.groupBy(world.log.take(), (call) => call));
    expect(Object.fromEntries(calls.map(([call, made]) => [call, made?.length]))).toEqual({
      'Query IK': partitions,
      'Query SK': 1,
      Wrap: 1,
      'Put SK': 1,
      'Put IK': partitions,
    });
    expect(queues.calls.length).toBeLessThanOrEqual(1100);
  });

  it('returns the messages for which no time is left, and sends the results of the others', async () => {
    const records = Array.from({ length: 1000 }, (_, i) => queueRecord(`${i}`, sealing()));
    queues.delay = () => {
      // The door needs ten calls to send all results, but after three calls, less time than the margin is left.
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

  it.for([
    ['forward', 3_600_000],
    ['back', -3_600_000],
  ] as const)(
    'is processed until only the margin of the invocation time is left, even if the clock jumps %s by an hour',
    async ([, stepMs]) => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
      const records = Array.from({ length: 1000 }, (_, i) => queueRecord(`${i}`, sealing()));
      let calls = 0;
      queues.delay = async () => {
        calls += 1;
        if (calls === 1) vi.setSystemTime(Date.now() + stepMs);
        // The door makes ten calls for each wave of 100 messages. After three waves, less time than the margin is left.
        vi.advanceTimersByTime(690);
      };
      const failed = await open({ now: Date.now })(records, 30_000);
      expect(queues.in(OUTPUT)).toHaveLength(300);
      expect(failed).toHaveLength(700);
      expect(queues.postponed).toHaveLength(700);
      vi.useRealTimers();
    },
  );

  it('ends in time even if KMS does not respond', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
    world.kms.interfere = () => new Promise(() => {});
    let failed: string[] | undefined;
    void open({ now: Date.now })([queueRecord('a', sealing())], 30_000).then((ids) => (failed = ids));
    // The operations may use 70 % of the 30 seconds, minus the margin of 500 ms.
    await vi.advanceTimersByTimeAsync(20_499);
    expect(failed).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    expect(failed).toEqual(['a']);
    vi.useRealTimers();
  });

  it.for([
    ['result', sealing()],
    ['dead letter', {}],
  ] as const)('ends in time even if SQS does not respond to its %s', async ([, body]) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
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
    void handle([queueRecord('a', body)], 30_000).then((ids) => (failed = ids));
    // Let the encrypt end and the send begin before the clock moves. Neither needs a timer, but both need turns of the
    // event loop.
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    await vi.advanceTimersByTimeAsync(25_000);
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    await vi.advanceTimersByTimeAsync(4_500);
    expect(abortedAfterMs).toEqual([25_000, 29_500]);
    expect(failed).toEqual(['a']);
    vi.useRealTimers();
  });

  it('never has more than a hundred messages in progress', async () => {
    let underWay = 0;
    let most = 0;
    world.metastore.interfere = async () => {
      most = Math.max(most, (underWay += 1));
      await new Promise(setImmediate);
      underWay -= 1;
    };
    // Each message has a different partition, so the door must load a key for each message.
    const records = Array.from({ length: 300 }, (_, i) => queueRecord(`${i}`, sealing(i, `p${i}`)));
    expect(await open()(records)).toEqual([]);
    expect(most).toBe(100);
  });
});
