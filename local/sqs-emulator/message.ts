import { createHash } from 'node:crypto';
import type { Input } from './input.ts';
import { invalid, SqsError } from './sqs-error.ts';

/** An attribute as it is on the wire; a binary value is in base64. */
export interface WireAttribute {
  readonly DataType: string;
  readonly StringValue?: string;
  readonly BinaryValue?: string;
}

/** A message as a producer hands it over. */
export interface Content {
  readonly body: string;
  readonly attributes: Readonly<Record<string, WireAttribute>>;
  readonly groupId: string | undefined;
  readonly deduplicationId: string | undefined;
  readonly delaySeconds: number | undefined;
}

/** In a message, and in all of one call. */
export const MOST_BYTES = 1_048_576;
const MOST_ATTRIBUTES = 10;
const FORBIDDEN = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u;

/** Reads a message. @throws SqsError for one that SQS would not take */
export function readContent(input: Input): Content {
  const body = input.text('MessageBody');
  const attributes = (input.optional('MessageAttributes') ?? {}) as Record<string, WireAttribute>;
  const content = {
    body,
    attributes,
    groupId: input.optionalText('MessageGroupId'),
    deduplicationId: input.optionalText('MessageDeduplicationId'),
    delaySeconds: input.number('DelaySeconds', 0, 900),
  };
  if (body === '') throw invalid('The message body must not be empty.');
  if (FORBIDDEN.test(body)) {
    throw new SqsError('InvalidMessageContents', 'The message contains characters outside the allowed set.');
  }
  checkAttributes(attributes);
  checkGroup(content.groupId);
  if (sizeOf(content) > MOST_BYTES)
    throw invalid(`One or more parameters are invalid: longer than ${MOST_BYTES} bytes.`);
  return content;
}

/** A FIFO queue needs a group; a standard queue takes one, and shares its consumers' time out among the groups. */
function checkGroup(groupId: string | undefined): void {
  if (groupId === undefined || /^[!-~]{1,128}$/.test(groupId)) return;
  throw invalid('MessageGroupId can only include alphanumeric and punctuation characters, 1 to 128 of them.');
}

function checkAttributes(attributes: Readonly<Record<string, WireAttribute>>): void {
  const all = Object.entries(attributes);
  if (all.length > MOST_ATTRIBUTES) throw invalid(`Number of message attributes exceeds ${MOST_ATTRIBUTES}.`);
  for (const [name, { DataType = '', StringValue, BinaryValue }] of all) {
    if (!/^[\w.-]{1,256}$/.test(name)) throw invalid(`The message attribute name '${name}' is invalid.`);
    if (!/^(?:String|Number|Binary)(?:\.|$)/.test(DataType)) throw invalid(`The type of '${name}' is invalid.`);
    const value = DataType.startsWith('Binary') ? BinaryValue : StringValue;
    if (value === undefined || value === '') throw invalid(`The message attribute '${name}' must contain a value.`);
  }
}

/** How large a message is: its body, and its attributes' names, types and values. */
export function sizeOf({ body, attributes }: Content): number {
  const parts = Object.entries(attributes).map(
    ([name, { DataType, StringValue = '', BinaryValue = '' }]) =>
      Buffer.byteLength(name + DataType + StringValue) + Buffer.from(BinaryValue, 'base64').length,
  );
  return parts.reduce((sum, part) => sum + part, Buffer.byteLength(body));
}

/** The checksum by which the SDK sees that a body came through. */
export function bodyMd5({ body }: Content): string {
  return createHash('md5').update(body).digest('hex');
}

/** The same of the attributes; undefined where there are none. */
export function attributesMd5(attributes: Readonly<Record<string, WireAttribute>>): string | undefined {
  const names = Object.keys(attributes).toSorted();
  if (names.length === 0) return undefined;
  const hash = createHash('md5');
  const add = (bytes: Buffer): void => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hash.update(length).update(bytes);
  };
  for (const name of names) {
    const { DataType = '', StringValue = '', BinaryValue } = attributes[name] ?? ({} as Partial<WireAttribute>);
    add(Buffer.from(name));
    add(Buffer.from(DataType));
    hash.update(Buffer.from([BinaryValue === undefined ? 1 : 2]));
    add(BinaryValue === undefined ? Buffer.from(StringValue) : Buffer.from(BinaryValue, 'base64'));
  }
  return hash.digest('hex');
}
