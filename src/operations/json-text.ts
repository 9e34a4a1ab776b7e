import { KeyfoldError } from '../errors.ts';
import { readUnescaped } from '../records/fast-paths.ts';
import { endOfString, MAX_JSON_DEPTH } from '../records/json-depth.ts';

/** A value in a JSON text: its position and its children. */
export interface JsonValue {
  /** The index of its first character. */
  readonly start: number;
  /** The index after its last character. */
  end: number;
  /** The members of an object, keyed by name. Undefined if the value is not an object. */
  readonly members?: Map<string, JsonValue>;
  /** The items of an array. Undefined if the value is not an array. */
  readonly items?: JsonValue[];
}

/** The limits for the depth of a JSON text and for its number of values, and the text's name in errors. */
export interface JsonBounds {
  readonly subject: 'request' | 'answer';
  readonly depth: number;
  readonly values: number;
}

/** The limits for a request, and for a document in a request. */
export const REQUEST_BOUNDS: JsonBounds = { subject: 'request', depth: MAX_JSON_DEPTH, values: 100_000 };
/** Matches the rest of a number or literal. */
const REST_OF_WORD = /[^\s,\]}]*/y;

/**
 * Locates every value of a JSON text, so that a caller can replace some values and keep the digits, order and white
 * space of the rest.
 * @param text a text that `JSON.parse` accepts. This function does not check the syntax again.
 * @param bounds the limits of the text. Default: the limits of a request.
 * @throws KeyfoldError `InvalidRequest` if an object has two members of the same name, or if the text exceeds the
 * bounds
 */
export function locateValues(text: string, bounds = REQUEST_BOUNDS): JsonValue {
  const open: JsonValue[] = [];
  let root: JsonValue | undefined;
  let name: string | undefined;
  let values = 0;

  const place = (value: JsonValue): void => {
    values += 1;
    if (values > bounds.values) throw outOfBounds(bounds, `holds more than ${bounds.values} values`);
    const parent = open.at(-1);
    root ??= value;
    parent?.items?.push(value);
    if (name !== undefined) parent?.members?.set(name, value);
    name = undefined;
  };

  for (let at = 0; at < text.length;) {
    const start = at;
    const character = text.charAt(at);
    switch (character) {
      case '{':
      case '[': {
        const value = { start, end: start, ...(character === '{' ? { members: new Map() } : { items: [] }) };
        place(value);
        open.push(value);
        if (open.length > bounds.depth) throw outOfBounds(bounds, `is nested deeper than ${bounds.depth}`);
        at += 1;
        break;
      }
      case '}':
      case ']': {
        at += 1;
        const value = open.pop();
        if (value !== undefined) value.end = at;
        break;
      }
      case '"': {
        at = endOfString(text, start);
        const members = open.at(-1)?.members;
        if (members === undefined || name !== undefined) {
          place({ start, end: at });
          break;
        }
        name = stringAt(text, { start, end: at });
        if (members.has(name)) throw twoMembersOfOneName(bounds.subject);
        break;
      }
      case ' ':
      case '\t':
      case '\n':
      case '\r':
      case ',':
      case ':':
        at += 1;
        break;
      default:
        REST_OF_WORD.lastIndex = start;
        REST_OF_WORD.test(text);
        at = REST_OF_WORD.lastIndex;
        place({ start, end: at });
    }
  }
  if (root === undefined) throw new Error('the text is not JSON');
  return root;
}

/**
 * Parses a located value. `JSON.parse` of Node 24.21 can mistake the name of a member for a name in an earlier text, if
 * one of the two contains a backslash or is written with one. This function parses each name separately, which avoids
 * the bug.
 * @param primitive parses the text of a string, number or literal
 */
export function valueOf(text: string, value: JsonValue, primitive: (source: string) => unknown = JSON.parse): unknown {
  const { members, items, start, end } = value;
  if (items !== undefined) return items.map((item) => valueOf(text, item, primitive));
  if (members === undefined) return primitive(text.slice(start, end));
  // Object.fromEntries keeps a member named `__proto__`. An assignment would set the prototype instead.
  return Object.fromEntries(Array.from(members, ([name, member]) => [name, valueOf(text, member, primitive)]));
}

/** Parses a located value that is a string. Undefined for any other value. */
export function stringOf(text: string, value: JsonValue): string | undefined {
  return text[value.start] === '"' ? stringAt(text, value) : undefined;
}

function stringAt(text: string, { start, end }: { readonly start: number; readonly end: number }): string {
  const source = text.slice(start, end);
  return readUnescaped(source) ?? (JSON.parse(source) as string);
}

/** The error for an object with two members of the same name. */
export function twoMembersOfOneName(subject: JsonBounds['subject'] = 'request'): KeyfoldError {
  const advice = subject === 'answer' ? ': ask for it as documentText' : '';
  return new KeyfoldError('InvalidRequest', `The ${subject} holds an object with two members of one name${advice}.`);
}

function outOfBounds({ subject }: JsonBounds, what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The ${subject} ${what}.`);
}
