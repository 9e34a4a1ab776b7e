import { AWS_DOMAIN } from '../input/endpoint.ts';
import { fieldPathFaults, leastValues } from '../operations/field-path-faults.ts';
import { isOnFields, type OperationName } from '../operations/operation-name.ts';
import { isFifoQueue } from '../sqs/message.ts';
import { configOf, type AppConfig, type Environment, type FunctionKms, type AnyKmsReader } from './app-config.ts';
import { checkedSettings, PREFIX } from './read-config.ts';
import type { Settings } from './settings.ts';

export interface QueueConfig {
  readonly outputUrl: string;
  readonly deadLetterUrl: string;
  /** The JSONPaths for messages without `fields`. Undefined if every message must have its own `fields`. */
  readonly fields: readonly string[] | undefined;
  /**
   * The longest delay after the first failure of a message. This limit doubles with each further failure. The delay is
   * a random value between half of the limit and the limit.
   */
  readonly retryDelaySeconds: number;
  /** The doubling of the delay's limit stops at this many seconds. */
  readonly longestRetryDelaySeconds: number;
}

/**
 * The default for `retryDelaySeconds`. It is short, because a message that fails also delays the rest of its FIFO
 * message group.
 */
const RETRY_DELAY_SECONDS = 5;

const QUEUE_URLS = ['OUTPUT_QUEUE_URL', 'DEAD_LETTER_QUEUE_URL'] as const;

/**
 * The default operations of a queue function. SQS has no permissions for single operations, so every producer can
 * request every operation that the function serves. So by default the function does not decrypt.
 */
const DEFAULT_OPERATIONS: readonly OperationName[] = ['encrypt-fields'];

/**
 * Reads the configuration of a function that serves a queue (docs/reference/queue.md).
 * @param reader see `readConfig`
 * @throws KeyfoldError `InvalidConfiguration`, listing everything that is wrong
 */
export function readQueueConfig(
  environment: Environment,
  reader?: AnyKmsReader<FunctionKms>,
): AppConfig<FunctionKms> & { readonly queue: QueueConfig } {
  const settings = checkedSettings(environment, QUEUE_URLS, reader, (read, areValid) => [
    ...(areValid(QUEUE_URLS) ? [...queueFaults(read), ...regionFaults(read, environment)] : []),
    ...(areValid(['FIELDS']) ? fieldsFaults(read.FIELDS, areValid(['MAX_ITEMS']) ? read.MAX_ITEMS : Infinity) : []),
    ...(areValid(['FIELDS', 'OPERATIONS']) ? uselessFieldsFaults(read) : []),
  ]);
  const { door, ...config } = configOf(settings, environment, reader);
  return {
    ...config,
    door: { ...door, serves: { ...door.serves, operations: door.serves.operations ?? DEFAULT_OPERATIONS } },
    queue: {
      outputUrl: settings.OUTPUT_QUEUE_URL ?? '',
      deadLetterUrl: settings.DEAD_LETTER_QUEUE_URL ?? '',
      fields: settings.FIELDS,
      retryDelaySeconds: RETRY_DELAY_SECONDS,
      longestRetryDelaySeconds: settings.LONGEST_RETRY_DELAY_SECONDS,
    },
  };
}

/** Finds fields that no document can satisfy, also because they select more values than a document may have. */
function fieldsFaults(fields: readonly string[] = [], maxItems: number): string[] {
  const faults = fieldPathFaults(fields).map((fault) => `${PREFIX}FIELDS${fault}`);
  if (faults.length > 0 || leastValues(fields) <= maxItems) return faults;
  return [`${PREFIX}FIELDS selects more values than ${PREFIX}MAX_ITEMS allows in a document`];
}

/** Finds fields that no message can use, because the function does not serve operations on fields. */
function uselessFieldsFaults({ FIELDS: fields, OPERATIONS }: Settings): string[] {
  const operations: readonly OperationName[] = OPERATIONS ?? DEFAULT_OPERATIONS;
  if (fields === undefined || operations.some(isOnFields)) return [];
  return [`${PREFIX}FIELDS is set, and ${PREFIX}OPERATIONS lists no operation on fields`];
}

/**
 * The host of a queue's URL on AWS. The pattern captures its region. Hosts of other forms, such as VPC endpoints, do
 * not match.
 */
const QUEUE_HOST = new RegExp(String.raw`^(?:sqs(?:-fips)?\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.${AWS_DOMAIN.source}`);

/** Whether both queue URLs have a host name of SQS itself, so that the SDK can choose the endpoint. */
export function areQueuesOfAws({ outputUrl, deadLetterUrl }: QueueConfig): boolean {
  return [outputUrl, deadLetterUrl].every((url) => QUEUE_HOST.test(hostOf(url)));
}

/**
 * Checks that the queues are in the function's region, because SQS refuses a request that is signed for another region.
 */
function regionFaults(settings: Settings, environment: Environment): string[] {
  return QUEUE_URLS.filter((name) => {
    const [, region, ofLegacyHost = region] = QUEUE_HOST.exec(hostOf(settings[name])) ?? [];
    return ofLegacyHost !== undefined && ofLegacyHost !== (environment['AWS_REGION'] ?? ofLegacyHost);
  }).map((name) => `${PREFIX}${name} is the URL of a queue in another region than the function`);
}

function hostOf(url = 'https://none'): string {
  return new URL(url).hostname;
}

function queueFaults({ OUTPUT_QUEUE_URL: output, DEAD_LETTER_QUEUE_URL: deadLetters }: Settings): string[] {
  if (output === undefined || deadLetters === undefined) return [];
  // Compare only the paths, which name the account and the queue. SQS has several hosts in a region.
  if (new URL(output).pathname === new URL(deadLetters).pathname) {
    return [`${PREFIX}OUTPUT_QUEUE_URL and ${PREFIX}DEAD_LETTER_QUEUE_URL are the same queue`];
  }
  return isFifoQueue(output) === isFifoQueue(deadLetters)
    ? []
    : [`one of ${PREFIX}OUTPUT_QUEUE_URL and ${PREFIX}DEAD_LETTER_QUEUE_URL is a FIFO queue and the other is not`];
}
