import { randomBytes } from 'node:crypto';
import type { Context, SQSEvent, SQSRecord } from 'aws-lambda';
import { queueDoor } from '../src/doors/queue.ts';
import { createTelemetry } from '../src/doors/telemetry.ts';
import { MemoryMetastore, SessionFactory, StaticKms } from '../src/index.ts';
import type { Queues } from '../src/sqs/queues.ts';
import { race, timeOf, timesAsLong, type Lap } from './compare.ts';
import type { SectionResult } from './figures.ts';

const MESSAGES = 100;
const PARTITIONS = 10;
const SECRET = 'x'.repeat(64);

const OUTPUT_URL = 'https://sqs.us-west-2.amazonaws.com/111122223333/output';

/**
 * Queues that discard the results of the door. They throw if the door reports a failed message, because that would
 * distort the measurement.
 */
const nowhere: Queues = {
  send: (queueUrl, messages) => {
    if (queueUrl !== OUTPUT_URL) throw new Error('a message was sent to the dead-letter queue');
    return Promise.resolve(messages.map(() => undefined));
  },
  changeVisibility: () => {
    throw new Error('the visibility of a message was changed, so it would be retried');
  },
};

/** Measures the queue door with events of 100 messages, each with one field to encrypt. */
export async function measureQueue(): Promise<SectionResult> {
  const keyfold = new SessionFactory({
    service: 'bench',
    product: 'keyfold',
    metastore: new MemoryMetastore(),
    kms: new StaticKms(randomBytes(32), process.env),
  });
  const sealed = await keyfold.session('tenant-0').encrypt(Buffer.from(JSON.stringify(SECRET)));
  const { keyId } = keyfold.session('tenant-0');
  const muteSession = { keyId, encrypt: () => Promise.resolve(sealed), batch: () => muteSession };
  const mute = { session: () => muteSession };

  const plaintext = Buffer.from(JSON.stringify(SECRET));
  const crypto = (): Promise<unknown> =>
    Promise.all(Array.from({ length: MESSAGES }, (_, i) => keyfold.session(partitionOf(i)).encrypt(plaintext)));
  const contestants = { real: doorOf(keyfold), without: doorOf(mute as unknown as SessionFactory), crypto };
  const laps = await race(contestants);
  // Each round measures the door without its cryptography, and the same cryptography alone. The ratio divides the sum
  // of these two times by the time of the real door. A ratio below 1 means that the door slows the cryptography down.
  const apart = laps.without.map((lap, i) => sumOf(lap, laps.crypto[i] as Lap));
  return {
    figures: [
      { name: 'messages', value: MESSAGES / (timeOf(laps.real).value / 1000), unit: '/s' },
      { name: 'messages with the crypto taken out', value: MESSAGES / (timeOf(laps.without).value / 1000), unit: '/s' },
      {
        name: 'against the door without crypto and the same crypto by itself',
        ...timesAsLong(apart, laps.real),
        byCpu: timesAsLong(apart, laps.real, 'cpuMs').value,
        unit: '×',
      },
    ],
  };
}

function sumOf(one: Lap, other: Lap): Lap {
  return { wallMs: one.wallMs + other.wallMs, cpuMs: one.cpuMs + other.cpuMs };
}

function doorOf(keyfold: SessionFactory): () => Promise<unknown> {
  const handler = queueDoor({
    keyfold,
    telemetry: createTelemetry('bench'),
    config: {
      serves: { operations: ['encrypt-fields'] },
      plaintextLimitBytes: 1_048_576,
      maxItems: 1000,
      deadlineMarginMs: 500,
    },
    queues: nowhere,
    queue: {
      outputUrl: OUTPUT_URL,
      deadLetterUrl: 'https://sqs.us-west-2.amazonaws.com/111122223333/dead-letters',
      fields: undefined,
      retryDelaySeconds: 5,
      longestRetryDelaySeconds: 900,
    },
    now: Date.now,
  });
  const event: SQSEvent = { Records: Array.from({ length: MESSAGES }, (_, i) => recordOf(i)) };
  const context = { getRemainingTimeInMillis: () => 30_000 } as Context;
  return async () => {
    const { batchItemFailures } = await handler(event, context);
    if (batchItemFailures.length > 0) throw new Error(`the door failed ${batchItemFailures.length} messages`);
  };
}

function recordOf(i: number): SQSRecord {
  const document = { name: 'Ada', secret: SECRET };
  return {
    messageId: `m${i}`,
    receiptHandle: `h${i}`,
    body: JSON.stringify({ partition: partitionOf(i), document, fields: ['$.secret'] }),
    attributes: {
      ApproximateReceiveCount: '1',
      SentTimestamp: '0',
      SenderId: 'x',
      ApproximateFirstReceiveTimestamp: '0',
    },
    messageAttributes: {},
    md5OfBody: '',
    eventSource: 'aws:sqs',
    eventSourceARN: 'arn:aws:sqs:us-west-2:111122223333:input',
    awsRegion: 'us-west-2',
  };
}

function partitionOf(i: number): string {
  return `tenant-${i % PARTITIONS}`;
}
