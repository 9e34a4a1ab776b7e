import type { SQSEvent } from 'aws-lambda';
import { startEventSource } from './event-source.ts';
import { startSqsEmulator } from '../emulators/sqs/sqs-emulator.ts';

/** The queues that `npm start` has. */
export interface LocalQueues {
  readonly endpoint: string;
  readonly names: readonly string[];
  /** Posts a message and reads its result. */
  readonly sampleCommand: string;
  /** What the function that serves them is configured with. */
  readonly environment: Readonly<Record<string, string>>;
  /** Has the messages taken to the function, until all is closed. */
  serve(invoke: (event: SQSEvent) => Promise<unknown>): void;
  close(): Promise<void>;
}

/** Six times that. */
const VISIBILITY_SECONDS = '180';
const NAMES = ['keyfold-input', 'keyfold-output', 'keyfold-dead-letters'] as const;
const [INPUT, OUTPUT, DEAD_LETTERS] = NAMES;
/** curl sends it as it stands: a form with one member that is JSON. */
const SAMPLE_MESSAGE =
  '{"partition":"tenant-1","document":{"name":"Ada","card":"4111 1111 1111 1111"},"fields":["$.card"]}';
const MAX_RECEIVE_COUNT = 100;

/** Starts an emulator of SQS with a queue for messages, one for results and one for what cannot be done. */
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
