import { invalid, SqsError, unsupported } from './sqs-error.ts';

/** The attributes of a queue, keyed by their SQS names. All values are strings. */
export type QueueAttributes = Readonly<Record<string, string>>;

/** The minimum, maximum and default of each integer attribute. Times are in seconds, and sizes in bytes. */
const NUMBERS: Readonly<Record<string, readonly [min: number, max: number, byDefault: number]>> = {
  DelaySeconds: [0, 900, 0],
  MaximumMessageSize: [1024, 1_048_576, 1_048_576],
  MessageRetentionPeriod: [60, 1_209_600, 345_600],
  ReceiveMessageWaitTimeSeconds: [0, 20, 0],
  VisibilityTimeout: [0, 43_200, 30],
};

/** The queue attributes that only a FIFO queue has. */
const OF_FIFO = ['FifoQueue', 'ContentBasedDeduplication'];

/** The queue attributes that a request can set. */
export const SETTABLE = [...Object.keys(NUMBERS), 'RedrivePolicy', ...OF_FIFO];

/** The queue attributes that a request can only read. */
export const READABLE = [
  'QueueArn',
  'CreatedTimestamp',
  'LastModifiedTimestamp',
  'ApproximateNumberOfMessages',
  'ApproximateNumberOfMessagesNotVisible',
  'ApproximateNumberOfMessagesDelayed',
];

/** The queue attributes of SQS that the emulator does not support. It refuses a request that sets or names one. */
const UNSUPPORTED = new Set([
  'DeduplicationScope',
  'FifoThroughputLimit',
  'KmsDataKeyReusePeriodSeconds',
  'KmsMasterKeyId',
  'Policy',
  'RedriveAllowPolicy',
  'SqsManagedSseEnabled',
]);

/** The parsed value of the attribute `RedrivePolicy`. */
export interface RedrivePolicy {
  readonly maxReceiveCount: number;
  readonly deadLetterTargetArn: string;
}

/** The value of an integer attribute, or its default if the attribute is not set. */
export function numberOf(attributes: QueueAttributes, name: string): number {
  return Number(attributes[name] ?? NUMBERS[name]?.[2]);
}

/** Adds the defaults of the attributes that are not set. */
export function withDefaults(attributes: QueueAttributes, isFifo: boolean): QueueAttributes {
  const defaults = Object.entries(NUMBERS).map(([name, [, , byDefault]]) => [name, String(byDefault)]);
  return {
    ...(Object.fromEntries(defaults) as QueueAttributes),
    ...(isFifo && { ContentBasedDeduplication: 'false' }),
    ...attributes,
  };
}

/** @throws SqsError if SQS would refuse a name or a value, or if the emulator does not support the attribute */
export function checkAttributes(attributes: QueueAttributes, isFifo: boolean): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (UNSUPPORTED.has(name)) throw unsupported(`the attribute ${name}`);
    const isKnown = SETTABLE.includes(name) && (isFifo || !OF_FIFO.includes(name));
    if (!isKnown) throw new SqsError('InvalidAttributeName', `Unknown Attribute ${name}.`);
    const [min, max] = NUMBERS[name] ?? [];
    if (min !== undefined && max !== undefined) {
      if (!/^\d{1,9}$/.test(value) || Number(value) < min || Number(value) > max)
        throw invalidValue(name, `must be from ${min} to ${max}`);
    } else if (name === 'RedrivePolicy') {
      redrivePolicyOf(attributes);
    } else if (name === 'FifoQueue' && value !== 'true') {
      throw invalidValue(name, 'must be true, because the type of a queue cannot be changed');
    } else if (value !== 'true' && value !== 'false') {
      throw invalidValue(name, 'must be true or false');
    }
  }
}

/** @throws SqsError if a name is not an attribute of SQS queues, or if the emulator does not support the attribute */
export function checkNames(names: readonly string[]): void {
  const refused = names.find((name) => UNSUPPORTED.has(name));
  if (refused !== undefined) throw unsupported(`the attribute ${refused}`);
  const known = new Set(['All', ...SETTABLE, ...READABLE]);
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) throw new SqsError('InvalidAttributeName', `Unknown Attribute ${unknown}.`);
}

/**
 * Parses the redrive policy of a queue. Undefined if the attribute is absent or empty.
 * @throws SqsError `InvalidParameterValue` if the policy is malformed
 */
export function redrivePolicyOf({ RedrivePolicy: text = '' }: QueueAttributes): RedrivePolicy | undefined {
  if (text === '') return undefined;
  const { maxReceiveCount, deadLetterTargetArn, ...others } = parse(text);
  const isDigits = typeof maxReceiveCount === 'string' && /^\d+$/.test(maxReceiveCount);
  const count = typeof maxReceiveCount === 'number' || isDigits ? Number(maxReceiveCount) : Number.NaN;
  if (!Number.isInteger(count) || count < 1 || count > 1000)
    throw invalid('RedrivePolicy must have a maxReceiveCount from 1 to 1000.');
  if (typeof deadLetterTargetArn !== 'string') throw invalid('RedrivePolicy must have a deadLetterTargetArn.');
  if (Object.keys(others).length > 0) throw invalid('RedrivePolicy has only maxReceiveCount and deadLetterTargetArn.');
  return { maxReceiveCount: count, deadLetterTargetArn };
}

function parse(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    throw invalid('RedrivePolicy must be JSON.');
  }
}

function invalidValue(name: string, rule: string): SqsError {
  return new SqsError('InvalidAttributeValue', `Invalid value for the parameter ${name}: it ${rule}.`);
}
