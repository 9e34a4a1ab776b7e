import { createHash } from 'node:crypto';
import { Input } from './input.ts';
import { invalid, missing, serialization, SqsError } from './sqs-error.ts';

/** A message attribute in the JSON protocol. `BinaryValue` is base64. */
export interface WireAttribute {
  readonly DataType: string;
  readonly StringValue?: string;
  readonly BinaryValue?: string;
}

/** The request members that describe a message. */
export const MESSAGE_MEMBERS = [
  'MessageBody',
  'MessageAttributes',
  'DelaySeconds',
  'MessageGroupId',
  'MessageDeduplicationId',
];

/** A message as its sender wrote it. */
export interface Content {
  readonly body: string;
  readonly attributes: Readonly<Record<string, WireAttribute>>;
  readonly groupId: string | undefined;
  readonly deduplicationId: string | undefined;
  readonly delaySeconds: number | undefined;
}

/** SQS's size limit, in bytes, for one message, and for all messages of one batch together. */
export const MAX_BYTES = 1_048_576;
const MAX_ATTRIBUTES = 10;
/** The characters that SQS does not allow in a message. */
const FORBIDDEN = /[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u;

/** The format of group IDs and deduplication IDs. */
const ID = /^[!-~]{1,128}$/;

/** Reads the parts of a message that count towards its size. */
export function readSized(input: Input): Pick<Content, 'body' | 'attributes'> {
  return { body: input.text('MessageBody'), attributes: readAttributes(input.optional('MessageAttributes')) };
}

/**
 * Reads and checks a message.
 * @param maxBytes the queue's `MaximumMessageSize`
 * @throws SqsError if SQS would refuse the message
 */
export function readContent(input: Input, isFifo: boolean, maxBytes: number): Content {
  const content = {
    ...readSized(input),
    groupId: idOf(input, 'MessageGroupId'),
    deduplicationId: idOf(input, 'MessageDeduplicationId'),
    delaySeconds: input.number('DelaySeconds', 0, 900),
  };
  if (content.body === '') throw missing('MessageBody');
  if (FORBIDDEN.test(content.body)) {
    throw new SqsError('InvalidMessageContents', 'The message contains characters outside the allowed set.');
  }
  if (!isFifo && content.deduplicationId !== undefined)
    throw invalid('The parameter MessageDeduplicationId is not valid for this queue type.');
  if (isFifo && (content.delaySeconds ?? 0) > 0)
    throw invalid('The parameter DelaySeconds is not valid for this queue type.');
  if (sizeOf(content) > maxBytes) throw invalid(`One or more parameters are invalid: longer than ${maxBytes} bytes.`);
  return content;
}

function idOf(input: Input, name: string): string | undefined {
  const id = input.optionalText(name);
  if (id === undefined || ID.test(id)) return id;
  throw invalid(`The parameter ${name} has 1 to 128 letters, digits and punctuation marks.`);
}

function readAttributes(value: unknown): Record<string, WireAttribute> {
  const given = value ?? {};
  if (typeof given !== 'object' || Array.isArray(given)) throw serialization('MessageAttributes must be a map.');
  const all = Object.entries(given as Record<string, unknown>);
  if (all.length > MAX_ATTRIBUTES) throw invalid(`Number of message attributes exceeds ${MAX_ATTRIBUTES}.`);
  return Object.fromEntries(all.map(([name, attribute]) => [name, readAttribute(name, attribute)]));
}

function readAttribute(name: string, attribute: unknown): WireAttribute {
  const input = new Input(attribute, ['DataType', 'StringValue', 'BinaryValue']);
  if (!/^(?!(?:aws|amazon)\.)(?!\.)(?!.*\.\.)[\w.-]{1,256}(?<!\.)$/i.test(name))
    throw invalid(`The message attribute name '${name}' is invalid.`);
  const DataType = input.text('DataType');
  const StringValue = input.optionalText('StringValue');
  const BinaryValue = input.optionalText('BinaryValue');
  const [kind = ''] = DataType.split('.');
  if (!['String', 'Number', 'Binary'].includes(kind) || DataType.length > 256)
    throw invalid(`The type of '${name}' is invalid.`);
  const [value, other] = kind === 'Binary' ? [BinaryValue, StringValue] : [StringValue, BinaryValue];
  if (value === undefined || value === '' || other !== undefined)
    throw invalid(`The message attribute '${name}' must contain one non-empty value, of its type.`);
  if (kind === 'Binary' && Buffer.from(value, 'base64').toString('base64') !== value)
    throw invalid(`The message attribute '${name}' must be base64.`);
  if (FORBIDDEN.test(value)) throw invalid(`The message attribute '${name}' has characters outside the allowed set.`);
  if (kind === 'Number' && !isNumber(value))
    throw invalid(`The message attribute '${name}' must be a number, from 10^-128 to 10^126.`);
  return kind === 'Binary' ? { DataType, BinaryValue: value } : { DataType, StringValue: value };
}

function isNumber(value: string): boolean {
  const size = Math.abs(Number(value));
  return (
    /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(value) && (size === 0 || (size >= 1e-128 && size <= 1e126))
  );
}

/** The size of a message in bytes: its body, and the names, types and values of its attributes. */
export function sizeOf({ body, attributes }: Pick<Content, 'body' | 'attributes'>): number {
  const parts = Object.entries(attributes).map(
    ([name, { DataType, StringValue = '', BinaryValue = '' }]) =>
      Buffer.byteLength(name + DataType + StringValue) + Buffer.from(BinaryValue, 'base64').length,
  );
  return parts.reduce((sum, part) => sum + part, Buffer.byteLength(body));
}

/** The MD5 of a message body. The SDK compares it with the body that it has sent or received. */
export function bodyMd5({ body }: Content): string {
  return createHash('md5').update(body).digest('hex');
}

/** The MD5 of message attributes, by the algorithm in the SQS Developer Guide. Undefined if there are none. */
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
