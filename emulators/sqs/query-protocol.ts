/**
 * SQS's older protocol, which AWS CLIs before 2.13 speak: a request is a form, of which names have dots, and an answer is XML.
 * Here it becomes the members of the JSON protocol, and back.
 */
import type { SqsError } from './sqs-error.ts';

type Tree = { [name: string]: Tree | string };

/** Lists and maps of a form, by the name that the JSON protocol has for them. */
const LISTS: Readonly<Record<string, string>> = {
  AttributeName: 'AttributeNames',
  MessageAttributeName: 'MessageAttributeNames',
  MessageSystemAttributeName: 'MessageSystemAttributeNames',
  SendMessageBatchRequestEntry: 'Entries',
  DeleteMessageBatchRequestEntry: 'Entries',
  ChangeMessageVisibilityBatchRequestEntry: 'Entries',
};
const MAPS: Readonly<Record<string, string>> = {
  Attribute: 'Attributes',
  MessageAttribute: 'MessageAttributes',
  MessageSystemAttribute: 'MessageSystemAttributes',
  Tag: 'tags',
};
/** The elements of an answer's lists. Entries that succeed are named after the action. */
const ELEMENTS: Readonly<Record<string, string>> = {
  Messages: 'Message',
  QueueUrls: 'QueueUrl',
  Attributes: 'Attribute',
  MessageAttributes: 'MessageAttribute',
  Failed: 'BatchResultErrorEntry',
};
/** Codes that differ from the JSON protocol's. */
const CODES: Readonly<Record<string, string>> = {
  QueueDoesNotExist: 'AWS.SimpleQueueService.NonExistentQueue',
  QueueNameExists: 'QueueAlreadyExists',
  UnknownOperationException: 'InvalidAction',
};
const PREFIXED =
  /^(?:EmptyBatch|TooManyEntries|BatchEntryIds|BatchRequest|InvalidBatch|MessageNotInflight|Unsupported)/;

/** The members of a form, named as in the JSON protocol. */
export function readForm(form: URLSearchParams): Record<string, unknown> {
  const tree: Tree = {};
  for (const [path, value] of form) {
    const names = path.split('.');
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

/** Also for a name such as `__proto__`. */
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
      const map = MAPS[name];
      if (map !== undefined) return [map, Object.fromEntries(items.map((item) => pairOf(item)))];
      const list = LISTS[name];
      return list === undefined ? [name, membersOf(value)] : [list, items];
    }),
  );
}

function pairOf(item: unknown): [string, unknown] {
  const { Name, Key, Value } = Object(item) as Record<string, unknown>;
  return [String(Name ?? Key), Value];
}

/** An answer as XML. */
export function toXml(action: string, answer: object, requestId: string): string {
  const result = children(answer, action);
  return `<?xml version="1.0"?><${action}Response>${element(`${action}Result`, result)}${element(
    'ResponseMetadata',
    element('RequestId', requestId),
  )}</${action}Response>`;
}

/** An error as XML. */
export function errorToXml(error: SqsError, requestId: string): string {
  const Code = queryCode(error);
  const told = children({ Type: 'Sender', Code, Message: error.message }, '');
  return `<?xml version="1.0"?><ErrorResponse>${element('Error', told)}${element('RequestId', requestId)}</ErrorResponse>`;
}

/** The code of an error in this protocol. The JSON protocol has it in a header. */
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

/** A parser turns a bare carriage return into a line feed, so it is written as a reference. */
function escaped(text: string): string {
  return text.replace(/[&<>"\r]/g, (char) => `&#${char.charCodeAt(0)};`);
}
