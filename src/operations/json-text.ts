import { KeyfoldError } from '../errors.ts';
import { endOfString, MAX_JSON_DEPTH } from '../records/json-depth.ts';

/** A value in a JSON text: where it stands, and what it holds. */
export interface JsonValue {
  /** Of its first character. */
  readonly start: number;
  /** Behind its last character. */
  end: number;
  /** An object's members by name; undefined for what is no object. */
  readonly members?: Map<string, JsonValue>;
  /** An array's values; undefined for what is no array. */
  readonly items?: JsonValue[];
}

/** What bounds a JSON text, and what errors call it. */
export interface JsonBounds {
  readonly subject: 'request' | 'answer';
  readonly depth: number;
  readonly values: number;
}

const REQUEST_BOUNDS: JsonBounds = { subject: 'request', depth: MAX_JSON_DEPTH, values: 100_000 };
/** Up to the end of a number or a literal. */
const REST_OF_WORD = /[^\s,\]}]*/y;

/**
 * Finds where each value of a JSON text stands, so that one can be replaced and all else stays as it was written: digits,
 * order, white space.
 * @param text one that `JSON.parse` has taken: its syntax is not checked again
 * @param bounds those of a request unless they are given
 * @throws KeyfoldError `InvalidRequest` if an object has two members of one name, or the text is out of bounds
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
  if (root === undefined) throw new Error('a text that JSON.parse has not taken');
  return root;
}

/**
 * The value that stands there. `JSON.parse` of Node 24.21 can take one member name for another, across texts, if either holds a
 * backslash or is written with one. Here each name is read by itself.
 * @param primitive what a string, a number or a literal is read with
 */
export function valueOf(text: string, value: JsonValue, primitive: (source: string) => unknown = JSON.parse): unknown {
  const { members, items, start, end } = value;
  if (items !== undefined) return items.map((item) => valueOf(text, item, primitive));
  if (members === undefined) return primitive(text.slice(start, end));
  // This defines members, so that `__proto__` is one like any other.
  return Object.fromEntries(Array.from(members, ([name, member]) => [name, valueOf(text, member, primitive)]));
}

/** The string that stands there; undefined where the value is none. */
export function stringOf(text: string, value: JsonValue): string | undefined {
  return text[value.start] === '"' ? stringAt(text, value) : undefined;
}

function stringAt(text: string, { start, end }: { readonly start: number; readonly end: number }): string {
  const inner = text.slice(start + 1, end - 1);
  return inner.includes('\\') ? (JSON.parse(text.slice(start, end)) as string) : inner;
}

/** An object has two members of one name. */
export function twoMembersOfOneName(subject: JsonBounds['subject'] = 'request'): KeyfoldError {
  const advice = subject === 'answer' ? ': ask for it as documentText' : '';
  return new KeyfoldError('InvalidRequest', `The ${subject} holds an object with two members of one name${advice}.`);
}

function outOfBounds({ subject }: JsonBounds, what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The ${subject} ${what}.`);
}
