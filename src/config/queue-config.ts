import { fieldPathFaults } from '../operations/field-path-faults.ts';
import type { OperationName } from '../operations/operation-name.ts';
import { isFifoQueue } from '../sqs/message.ts';
import { configOf, type AppConfig, type Environment } from './app-config.ts';
import { checkedSettings, PREFIX } from './read-config.ts';
import type { Settings } from './settings.ts';

/** Where a queue's messages go, and what is made of them. */
export interface QueueConfig {
  readonly outputUrl: string;
  readonly deadLetterUrl: string;
  /** Which values of a document are meant by a message that does not say; undefined where each must. */
  readonly fields: readonly string[] | undefined;
  /** How long, about, a message waits that has failed for the first time; after each further time twice as long. */
  readonly retryDelaySeconds: number;
  readonly longestRetryDelaySeconds: number;
}

const QUEUE_URLS = ['OUTPUT_QUEUE_URL', 'DEAD_LETTER_QUEUE_URL'] as const;

/** A producer of a queue asks for what nobody has granted it: it gets no more than was set. */
const SERVED_UNLESS_SET: readonly OperationName[] = ['encrypt-fields'];

/**
 * Reads the configuration of a function that serves a queue (docs/queue.md).
 * @throws KeyfoldError `InvalidConfiguration`, listing every fault at once
 */
export function readQueueConfig(environment: Environment): AppConfig & { readonly queue: QueueConfig } {
  const settings = checkedSettings(environment, QUEUE_URLS, (read, sound) => [
    ...(sound(QUEUE_URLS) ? queueFaults(read) : []),
    ...(sound(['FIELDS']) ? fieldPathFaults(read.FIELDS ?? []).map((fault) => `${PREFIX}FIELDS${fault}`) : []),
    ...(sound(['RETRY_DELAY_SECONDS', 'LONGEST_RETRY_DELAY_SECONDS']) ? delayFaults(read) : []),
  ]);
  const { door, ...config } = configOf(settings, environment);
  return {
    ...config,
    door: { ...door, serves: { ...door.serves, operations: door.serves.operations ?? SERVED_UNLESS_SET } },
    queue: {
      outputUrl: settings.OUTPUT_QUEUE_URL ?? '',
      deadLetterUrl: settings.DEAD_LETTER_QUEUE_URL ?? '',
      fields: settings.FIELDS,
      retryDelaySeconds: settings.RETRY_DELAY_SECONDS,
      longestRetryDelaySeconds: settings.LONGEST_RETRY_DELAY_SECONDS,
    },
  };
}

function delayFaults({ RETRY_DELAY_SECONDS: first, LONGEST_RETRY_DELAY_SECONDS: longest }: Settings): string[] {
  return first > longest ? [`${PREFIX}RETRY_DELAY_SECONDS is more than ${PREFIX}LONGEST_RETRY_DELAY_SECONDS`] : [];
}

function queueFaults({ OUTPUT_QUEUE_URL: output, DEAD_LETTER_QUEUE_URL: deadLetters }: Settings): string[] {
  if (output === undefined || deadLetters === undefined) return [];
  // A host has many spellings, and a URL may name its port.
  if (new URL(output).href === new URL(deadLetters).href) {
    return [`${PREFIX}OUTPUT_QUEUE_URL and ${PREFIX}DEAD_LETTER_QUEUE_URL are the same queue`];
  }
  return isFifoQueue(output) === isFifoQueue(deadLetters)
    ? []
    : [`one of ${PREFIX}OUTPUT_QUEUE_URL and ${PREFIX}DEAD_LETTER_QUEUE_URL is a FIFO queue and the other is not`];
}
