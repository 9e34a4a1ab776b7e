import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '@aws-sdk/client-sqs';
import { startDynamoDb } from '../../../local/dynamodb.ts';
import { startEventSource } from '../../../local/event-source.ts';
import { ensureKeys, functionEnvironment } from '../../../local/function-environment.ts';
import { startKmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { AwsKms, DynamoDbMetastore, SessionFactory } from '../../../src/index.ts';
import { Seeded } from '../../support/seeded.ts';
import { Findings } from './findings.ts';
import { buildWorker } from '../../support/build-worker.ts';
import { FunctionProcess } from './function-process.ts';
import { planLoad, WireQueue } from './load.ts';

/** Parameters of a run. */
export interface Ordeal {
  /** The endpoint of SQS or of an SQS emulator. */
  readonly endpoint: string;
  readonly kind: 'standard' | 'fifo';
  readonly messages: number;
  readonly seed: number;
  /** How many execution environments of the function run at a time. */
  readonly environments?: number;
  /** The number of messages per event, which is also the number that one call to SQS returns. */
  readonly receivedAtOnce?: number;
  /** How often SQS delivers a message before the message goes to the dead-letter queue. */
  readonly maxReceiveCount?: number;
  /** Makes the function acknowledge messages before it sends their results. */
  readonly isFlawed?: boolean;
}

const REGIONS = ['us-west-2', 'us-east-1'];
const NAMES = { service: 'queue', product: 'survival' };
const TIMEOUT_MS = 3000;
/**
 * The visibility timeout is longer than the function's timeout, so that SQS does not deliver a message twice at the
 * same time.
 */
const VISIBILITY_SECONDS = '4';
/**
 * How often a message may be received. The number is so high that no valid message becomes a dead letter during the
 * outage.
 */
const MAX_RECEIVE_COUNT = 100;
const OUTAGE_MS = 4000;
const KILL_CHANCE = 0.25;
/**
 * The upper bounds, in milliseconds, of the random time until the next kill. A warm process takes tens of milliseconds
 * for an event of ten messages.
 */
const LIVES_MS = [10, 30, 300];
/** The divisor that determines when the outage begins: 5 means after a fifth of the results. */
const OUTAGE_AFTER = 5;
/** Limits the number of messages in the queue, because moto counts all of them whenever it receives or delivers one. */
const MAX_IN_FLIGHT = 60;
const LOOK_MS = 50;

/**
 * Sends messages through the function, one in a hundred of them invalid. Meanwhile KMS has an outage, and the function
 * is killed at random times.
 * @returns the results and dead letters, and what is wrong with them
 */
export async function liveThrough(ordeal: Ordeal): Promise<Findings> {
  const { endpoint, kind, messages, seed, environments = 2, receivedAtOnce = 10 } = ordeal;
  const { maxReceiveCount = MAX_RECEIVE_COUNT, isFlawed = false } = ordeal;
  const suffix = kind === 'fifo' ? '.fifo' : '';
  const [worker, kms, dynamoDb] = await Promise.all([
    buildWorker(join(import.meta.dirname, 'queue-worker.ts')),
    startKmsEmulator(),
    startDynamoDb('EncryptionKey', 0),
  ]);
  const keys = await ensureKeys(kms, REGIONS);
  const output = await WireQueue.create(endpoint, `output-${seed}${suffix}`);
  const deadLetters = await WireQueue.create(endpoint, `dead-${seed}${suffix}`);
  const input = await WireQueue.create(endpoint, `input-${seed}${suffix}`, {
    VisibilityTimeout: VISIBILITY_SECONDS,
    RedrivePolicy: JSON.stringify({ maxReceiveCount, deadLetterTargetArn: deadLetters.arn }),
  });
  const environment = {
    ...functionEnvironment({ kms: kms.endpoint, dynamoDb: dynamoDb.endpoint, keys }),
    AWS_ENDPOINT_URL_SQS: endpoint,
    KEYFOLD_SERVICE: NAMES.service,
    KEYFOLD_PRODUCT: NAMES.product,
    KEYFOLD_OUTPUT_QUEUE_URL: output.url,
    KEYFOLD_DEAD_LETTER_QUEUE_URL: deadLetters.url,
    KEYFOLD_OPERATIONS: 'encrypt-fields,decrypt-fields',
    KEYFOLD_LONGEST_RETRY_DELAY_SECONDS: '2',
    ...(isFlawed && { FLAW: 'acknowledges before it sends' }),
  };

  const random = new Seeded(seed);
  const functions = Array.from({ length: environments }, () => new FunctionProcess(worker, environment));
  const sources = functions.map((one) =>
    startEventSource({
      endpoint,
      queueUrl: input.url,
      queueArn: input.arn,
      receivedAtOnce,
      invoke: (event) => {
        const killAfterMs = random.chance(KILL_CHANCE) ? random.below(random.of(LIVES_MS)) : undefined;
        return one.invoke(event, TIMEOUT_MS, killAfterMs);
      },
    }),
  );
  const results: Message[] = [];
  const letters: Message[] = [];
  let isOver = false;
  const drained = Promise.all([output.drain(results, () => isOver), deadLetters.drain(letters, () => isOver)]);

  const load = planLoad(messages, kind, seed);
  const outage = async (): Promise<void> => {
    while (results.length < messages / OUTAGE_AFTER) await sleep(LOOK_MS);
    // Kill the processes, because a warm process has its keys in memory and needs no KMS.
    for (const one of functions) one.end();
    for (const region of REGIONS) kms.setFault(region, { kind: 'down' });
    await sleep(OUTAGE_MS);
    kms.clearFaults();
  };
  const send = async (): Promise<void> => {
    for (let sent = 0; sent < messages; sent += 10) {
      // Stop waiting when the input queue is empty, because a lost message would never arrive.
      while (sent - results.length - letters.length > MAX_IN_FLIGHT && !(await input.isEmpty())) await sleep(LOOK_MS);
      await input.send(load.slice(sent, sent + 10).map(({ entry }) => entry));
    }
  };
  await Promise.all([send(), outage()]);
  await input.emptied();
  isOver = true;
  await drained;
  await Promise.all(sources.map(({ stop }) => stop()));
  for (const one of functions) one.end();

  const findings = new Findings(kind, load, {
    results,
    letters,
    kills: functions.reduce((n, { kills }) => n + kills, 0),
  });
  const metastore = new DynamoDbMetastore({ endpoint: dynamoDb.endpoint, region: 'us-west-2' });
  const real = new AwsKms({ keys, preferredRegion: 'us-west-2', endpoint: kms.endpoint });
  await findings.open(new SessionFactory({ ...NAMES, kms: real, metastore }));
  await Promise.all([kms.close(), dynamoDb.close(), rm(dirname(worker), { recursive: true })]);
  return findings;
}
