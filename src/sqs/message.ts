/** An attribute of an SQS message. */
export interface MessageAttribute {
  /** `String`, `Number` or `Binary`, with an optional suffix by the sender, such as `.gzip`. */
  readonly DataType: string;
  readonly StringValue?: string;
  readonly BinaryValue?: Uint8Array;
}

/** A message's attributes, keyed by name. */
export type MessageAttributes = Readonly<Record<string, MessageAttribute>>;

/** A message to send. */
export interface OutgoingMessage {
  readonly body: string;
  readonly attributes: MessageAttributes;
  /** A FIFO queue delivers the messages of a group in order. A standard queue uses groups for fair delivery. */
  readonly groupId?: string | undefined;
  /** For FIFO queues only. SQS drops a message whose ID it has received within the last five minutes. */
  readonly deduplicationId?: string | undefined;
}

/** The number of attributes that SQS allows per message. */
const MAX_ATTRIBUTES = 10;

/** SQS's limit for the size of one message, and for the total size of the messages in one call. */
export const MAX_MESSAGE_BYTES = 1_048_576;

/** The number of messages that SQS accepts per call. */
export const MAX_CALL_ENTRIES = 10;

/** Returns a message's size as SQS counts it, in bytes: the body, and the names, types and values of the attributes. */
export function sizeOf({ body, attributes }: OutgoingMessage): number {
  const sizes = Object.entries(attributes).map(
    ([name, { DataType, StringValue = '', BinaryValue }]) =>
      Buffer.byteLength(name) +
      Buffer.byteLength(DataType) +
      Buffer.byteLength(StringValue) +
      (BinaryValue?.length ?? 0),
  );
  return sizes.reduce((sum, size) => sum + size, Buffer.byteLength(body));
}

/** Whether a message is within SQS's limits for its size and its number of attributes. */
export function isSendable(message: OutgoingMessage): boolean {
  return Object.keys(message.attributes).length <= MAX_ATTRIBUTES && sizeOf(message) <= MAX_MESSAGE_BYTES;
}

/**
 * Whether an ARN and a URL name the same queue. Compares account and name. Does not compare regions, because a process
 * uses only queues in its own region.
 */
export function isSameQueue(arn: string, url: string): boolean {
  const [, , , , account, name] = arn.split(':');
  return new URL(url).pathname === `/${account}/${name}`;
}

/**
 * Whether a URL's path consists of a queue's account and name, and the URL has no query, fragment or user name. SQS
 * reads the URL as it is spelled, so a path that the URL class would correct does not count.
 */
export function isQueueUrl(url: string): boolean {
  return /^https?:\/\/[^/\\?#@]+\/\d{12}\/(?:[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo)$/.test(url);
}

/** Whether a queue is a FIFO queue, whose name, URL and ARN end with `.fifo`. */
export function isFifoQueue(urlOrArn: string): boolean {
  return urlOrArn.endsWith('.fifo');
}
