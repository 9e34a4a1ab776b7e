import type { SQSEvent } from 'aws-lambda';
import { startEventSource } from './event-source.ts';
import { startSqsEmulator } from '../emulators/sqs/sqs-emulator.ts';

/** The queues of the local world. */
export interface LocalQueues {
  readonly endpoint: string;
  readonly names: readonly string[];
  /** The queue that the function serves. */
  readonly input: string;
  /** A shell command that sends a message and reads its result. */
  readonly sampleCommand: string;
  /** The environment variables of the function that serves the queues. */
  readonly environment: Readonly<Record<string, string>>;
  /** Invokes the function with messages from the input queue, from now on until `close` is called. */
  serve(invoke: (event: SQSEvent) => Promise<unknown>): void;
  close(): Promise<void>;
}

/** Six times the timeout of the function, as AWS recommends. */
const VISIBILITY_SECONDS = '180';
const NAMES = ['keyfold-input', 'keyfold-output', 'keyfold-dead-letters'] as const;
const [INPUT, OUTPUT, DEAD_LETTERS] = NAMES;
/** A message for curl's `-d`, which sends it without encoding. So it must not contain `&`, `%` or `+`. */
const SAMPLE_MESSAGE =
  '{"partition":"tenant-1","document":{"name":"Ada","card":"4111 1111 1111 1111"},"fields":["$.card"]}';
const MAX_RECEIVE_COUNT = 100;

/** Starts an SQS emulator with three queues: for messages, for results, and for messages that failed permanently. */
export async function startQueues(port: number): Promise<LocalQueues> {
  const sqs = await startSqsEmulator({ port });
  const { queueUrl: outputUrl } = sqs.ensureQueue(OUTPUT);
  const deadLetters = sqs.ensureQueue(DEAD_LETTERS);
  const RedrivePolicy = JSON.stringify({
    maxReceiveCount: MAX_RECEIVE_COUNT,
    deadLetterTargetArn: deadLetters.queueArn,
  });
  const input = sqs.ensureQueue(INPUT, { VisibilityTimeout: VISIBILITY_SECONDS, RedrivePolicy });
  const sources: ReturnType<typeof startEventSource>[] = [];
  return {
    endpoint: sqs.endpoint,
    names: NAMES,
    input: INPUT,
    sampleCommand: [
      `curl -s ${input.queueUrl} -d 'Action=SendMessage&MessageBody=${SAMPLE_MESSAGE}'`,
      `curl -s '${outputUrl}?Action=ReceiveMessage&WaitTimeSeconds=10'`,
    ].join(' && '),
    environment: {
      AWS_ENDPOINT_URL_SQS: sqs.endpoint,
      KEYFOLD_OUTPUT_QUEUE_URL: outputUrl,
      KEYFOLD_DEAD_LETTER_QUEUE_URL: deadLetters.queueUrl,
      KEYFOLD_OPERATIONS: 'encrypt-fields,decrypt-fields',
    },
    serve: (invoke) => {
      sources.push(startEventSource({ endpoint: sqs.endpoint, ...input, invoke }));
    },
    close: async () => {
      await Promise.all(sources.map(({ stop }) => stop()));
      await sqs.close();
    },
  };
}
