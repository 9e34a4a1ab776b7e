/** A value beside a message's body, as SQS types it. */
export interface MessageAttribute {
  /** `String`, `Number` or `Binary`, and what its sender has put behind a dot. */
  readonly DataType: string;
  readonly StringValue?: string;
  readonly BinaryValue?: Uint8Array;
}

/** A message's attributes, by name. */
export type MessageAttributes = Readonly<Record<string, MessageAttribute>>;

/** A message to be sent. */
export interface OutgoingMessage {
  readonly body: string;
  readonly attributes: MessageAttributes;
  /** What a FIFO queue keeps in order, and a standard queue shares out fairly. */
  readonly groupId?: string | undefined;
  /** For a FIFO queue, and no other: for five minutes SQS takes a second message of the same id for the first. */
  readonly deduplicationId?: string | undefined;
}

/** As many as SQS takes with one message. */
const MAX_ATTRIBUTES = 10;

/** As much as SQS takes in one message, and in all messages of one call. */
export const MAX_MESSAGE_BYTES = 1_048_576;

/** As many messages as SQS takes in one call. */
export const MAX_CALL_ENTRIES = 10;

/** How large SQS finds a message: its body and its attributes' names, types and values. */
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

/** Whether a message is of a size, and has as many attributes, as SQS takes. */
export function isSendable(message: OutgoingMessage): boolean {
  return Object.keys(message.attributes).length <= MAX_ATTRIBUTES && sizeOf(message) <= MAX_MESSAGE_BYTES;
}

/** Whether an ARN and a URL are of one queue. Their region is left out: a process sends within its own, from which its events are. */
export function isSameQueue(arn: string, url: string): boolean {
  const [, , , , account, name] = arn.split(':');
  return new URL(url).pathname === `/${account}/${name}`;
}

/** Whether a URL has a queue's account and name for its path, and nothing behind it. */
export function isQueueUrl(url: string): boolean {
  const { pathname, search, hash, username, password } = new URL(url);
  const isBare = [search, hash, username, password].every((part) => part === '');
  return isBare && /^\/\d{12}\/(?:[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo)$/.test(pathname);
}

/** Whether a queue is a FIFO queue, which its name, its URL and its ARN all say. */
export function isFifoQueue(urlOrArn: string): boolean {
  return urlOrArn.endsWith('.fifo');
}
