/**
 * The older query protocol of SQS, which AWS CLIs before 2.13 use. A request is form-encoded. The name of each field is
 * the path of a member, separated by dots. A response is XML. This file converts requests to the JSON protocol, and
 * JSON responses and errors to XML.
 */
import { invalid, type SqsError } from './sqs-error.ts';

type Tree = { [name: string]: Tree | string };

/** More parts than the name of any parameter has. `membersOf` recurses once for each part. */
const MAX_PARTS = 10;
/** Maps the names of lists in the query protocol to their names in the JSON protocol. */
const LISTS = new Map([
  ['AttributeName', 'AttributeNames'],
  ['MessageAttributeName', 'MessageAttributeNames'],
  ['MessageSystemAttributeName', 'MessageSystemAttributeNames'],
  ['SendMessageBatchRequestEntry', 'Entries'],
  ['DeleteMessageBatchRequestEntry', 'Entries'],
  ['ChangeMessageVisibilityBatchRequestEntry', 'Entries'],
]);
/** Maps the names of maps in the query protocol to their names in the JSON protocol. */
const MAPS = new Map([
  ['Attribute', 'Attributes'],
  ['MessageAttribute', 'MessageAttributes'],
  ['MessageSystemAttribute', 'MessageSystemAttributes'],
  ['Tag', 'tags'],
]);
/**
 * The name of the XML element for an item of each list or map. The action determines the name for items of
 * `Successful`.
 */
const ELEMENTS: Readonly<Record<string, string>> = {
  Messages: 'Message',
  QueueUrls: 'QueueUrl',
  Attributes: 'Attribute',
  MessageAttributes: 'MessageAttribute',
  Failed: 'BatchResultErrorEntry',
};
/** The error codes that differ between the two protocols. */
const CODES: Readonly<Record<string, string>> = {
  QueueDoesNotExist: 'AWS.SimpleQueueService.NonExistentQueue',
  QueueNameExists: 'QueueAlreadyExists',
  UnknownOperationException: 'InvalidAction',
};
/** The error codes that have the prefix `AWS.SimpleQueueService.` in the query protocol. */
const PREFIXED =
  /^(?:EmptyBatch|TooManyEntries|BatchEntryIds|BatchRequest|InvalidBatch|MessageNotInflight|Unsupported)/;

/**
 * Converts a form-encoded request to the members of a request in the JSON protocol.
 * @throws SqsError if a parameter's name has too many parts
 */
export function readForm(form: URLSearchParams): Record<string, unknown> {
  const tree: Tree = {};
  for (const [path, value] of form) {
    const names = path.split('.', MAX_PARTS + 1);
    if (names.length > MAX_PARTS) throw invalid(`The name of a parameter has more than ${MAX_PARTS} parts.`);
    let at = tree;
    for (const name of names.slice(0, -1)) at = branch(at, name);
    define(at, names.at(-1) ?? '', value);
  }
  return membersOf(tree);
}

function branch(tree: Tree, name: string): Tree {
  const there = Object.hasOwn(tree, name) ? tree[name] : undefined;
  return typeof there === 'object' ? there : (define(tree, name, {}) as Tree);
}

/** Sets a property with `defineProperty`, because assigning to `__proto__` would change the prototype. */
function define(tree: Tree, name: string, value: Tree | string): Tree | string {
  Object.defineProperty(tree, name, { value, enumerable: true, configurable: true, writable: true });
  return value;
}

function membersOf(tree: Tree): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(tree).map(([name, value]) => {
      if (typeof value === 'string') return [name, value];
      const items = Object.entries(value)
        .toSorted(([a], [b]) => Number(a) - Number(b))
        .map(([, item]) => (typeof item === 'string' ? item : membersOf(item)));
      const map = MAPS.get(name);
      if (map !== undefined) return [map, Object.fromEntries(items.map((item) => pairOf(item)))];
      const list = LISTS.get(name);
      return list === undefined ? [name, membersOf(value)] : [list, items];
    }),
  );
}

function pairOf(item: unknown): [string, unknown] {
  const { Name, Key, Value } = Object(item) as Record<string, unknown>;
  return [textOf(Name ?? Key), Value];
}

/** The value, if it is a string. `String` would call the `toString` of an object that a client sent. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Converts a JSON protocol response to XML. */
export function toXml(action: string, answer: object, requestId: string): string {
  const result = children(answer, action);
  return `<?xml version="1.0"?><${action}Response>${element(`${action}Result`, result)}${element(
    'ResponseMetadata',
    element('RequestId', requestId),
  )}</${action}Response>`;
}

/** Converts an error to XML. */
export function errorToXml(error: SqsError, requestId: string): string {
  const Code = queryCode(error);
  const details = children({ Type: 'Sender', Code, Message: error.message }, '');
  return `<?xml version="1.0"?><ErrorResponse>${element('Error', details)}${element('RequestId', requestId)}</ErrorResponse>`;
}

/** The code of an error in the query protocol. A JSON response has this code in the header `x-amzn-query-error`. */
export function queryCode({ type }: SqsError): string {
  return CODES[type] ?? (PREFIXED.test(type) ? `AWS.SimpleQueueService.${type}` : type);
}

function children(value: object, action: string): string {
  return Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]: [string, unknown]) => {
      const tag = name === 'Successful' ? `${action}ResultEntry` : (ELEMENTS[name] ?? name);
      if (Array.isArray(member)) return member.map((item) => element(tag, contentOf(item, action))).join('');
      if (name !== 'Attributes' && name !== 'MessageAttributes') return element(tag, contentOf(member, action));
      return Object.entries(member as object)
        .map(([Name, Value]: [string, unknown]) => element(tag, children({ Name, Value }, action)))
        .join('');
    })
    .join('');
}

function contentOf(value: unknown, action: string): string {
  return typeof value === 'object' && value !== null ? children(value, action) : escaped(String(value));
}

function element(name: string, content: string): string {
  return `<${name}>${content}</${name}>`;
}

/**
 * Escapes text for XML. A carriage return becomes a character reference, because XML parsers turn it into a line feed.
 */
function escaped(text: string): string {
  return text.replace(/[&<>"\r]/g, (char) => `&#${char.charCodeAt(0)};`);
}
