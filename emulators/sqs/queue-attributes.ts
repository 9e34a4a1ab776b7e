import { invalid, SqsError, unsupported } from './sqs-error.ts';

/** A queue's attributes as SQS names them. All are strings. */
export type QueueAttributes = Readonly<Record<string, string>>;

/** The whole numbers among them: least, most and what SQS takes if none is given. Times are in seconds, sizes in bytes. */
const NUMBERS: Readonly<Record<string, readonly [least: number, most: number, byDefault: number]>> = {
  DelaySeconds: [0, 900, 0],
  MaximumMessageSize: [1024, 1_048_576, 1_048_576],
  MessageRetentionPeriod: [60, 1_209_600, 345_600],
  ReceiveMessageWaitTimeSeconds: [0, 20, 0],
  VisibilityTimeout: [0, 43_200, 30],
};

/** The attributes that can be set. */
export const SETTABLE = [...Object.keys(NUMBERS), 'RedrivePolicy', 'FifoQueue', 'ContentBasedDeduplication'];

/** The attributes that can only be read. */
export const READABLE = [
  'QueueArn',
  'CreatedTimestamp',
  'LastModifiedTimestamp',
  'ApproximateNumberOfMessages',
  'ApproximateNumberOfMessagesNotVisible',
  'ApproximateNumberOfMessagesDelayed',
];

/** What SQS knows and the emulator does not. A queue is never asked for it to have it, so reading it gives nothing. */
const UNSUPPORTED = [
  'DeduplicationScope',
  'FifoThroughputLimit',
  'KmsDataKeyReusePeriodSeconds',
  'KmsMasterKeyId',
  'Policy',
  'RedriveAllowPolicy',
  'SqsManagedSseEnabled',
];

/** A redrive policy, read. */
export interface RedrivePolicy {
  readonly maxReceiveCount: number;
  readonly deadLetterTargetArn: string;
}

/** The number that an attribute is, or its default. */
export function numberOf(attributes: QueueAttributes, name: string): number {
  return Number(attributes[name] ?? NUMBERS[name]?.[2]);
}

/** Every attribute that can be set, those that nobody has set too. */
export function withDefaults(attributes: QueueAttributes): QueueAttributes {
  const defaults = Object.entries(NUMBERS).map(([name, [, , byDefault]]) => [name, String(byDefault)]);
  return { ...(Object.fromEntries(defaults) as QueueAttributes), ...attributes };
}

/** @throws SqsError for a name or a value that SQS would not take, and for what is not emulated */
export function checkAttributes(attributes: QueueAttributes, isFifo: boolean): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (UNSUPPORTED.includes(name)) throw unsupported(`the attribute ${name}`);
    if (!SETTABLE.includes(name)) throw new SqsError('InvalidAttributeName', `Unknown Attribute ${name}.`);
    const [least, most] = NUMBERS[name] ?? [];
    if (least !== undefined && most !== undefined) {
      if (!/^\d{1,9}$/.test(value) || Number(value) < least || Number(value) > most)
        throw invalidValue(name, `must be from ${least} to ${most}`);
    } else if (name === 'RedrivePolicy') {
      redrivePolicyOf(attributes);
    } else if (!isFifo || !['true', ...(name === 'FifoQueue' ? [] : ['false'])].includes(value)) {
      throw invalidValue(name, 'must be true, of a queue whose name ends in .fifo');
    }
  }
}

/** @throws SqsError for an attribute to read that SQS does not know */
export function checkNames(names: readonly string[]): void {
  const known = new Set(['All', ...SETTABLE, ...READABLE, ...UNSUPPORTED]);
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) throw new SqsError('InvalidAttributeName', `Unknown Attribute ${unknown}.`);
}

/** The redrive policy. Undefined if there is none; an empty one takes it away. @throws SqsError for one that is malformed */
export function redrivePolicyOf({ RedrivePolicy: text = '' }: QueueAttributes): RedrivePolicy | undefined {
  if (text === '') return undefined;
  const { maxReceiveCount, deadLetterTargetArn, ...others } = parse(text);
  const count = typeof maxReceiveCount === 'object' ? Number.NaN : Number(maxReceiveCount);
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
