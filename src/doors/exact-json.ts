import { KeyfoldError } from '../errors.ts';
import { MAX_JSON_DEPTH } from '../records/json-depth.ts';
import { withDescendants } from '../operations/field-paths.ts';
import { locateValues, valueOf, type JsonBounds } from '../operations/json-text.ts';

/** What Node 24 has of JSON and TypeScript's library does not (ECMA-262, JSON.parse source text access). */
interface ExactJson {
  rawJSON(text: string): unknown;
  stringify(value: unknown, replacer: (name: string, value: unknown) => unknown): string;
}
const exactJson = JSON as unknown as ExactJson;

/**
 * What JSON writes with a backslash: a quotation mark, a backslash, a control character, half of a surrogate pair. Once
 * `JSON.parse` of Node 24.21 has read a name that holds a backslash, it can take a name that is written with one for it. What it
 * takes a name for always holds a backslash, so these are all the names that it may have confused, or that a caller's may.
 */
const ESCAPED = /["\\]|[^ -\ud7ff\ue000-\u{10ffff}]/u;

/**
 * The JSON text of an event that Lambda has parsed. Two things may have been written otherwise, and are refused: whole numbers that
 * a double does not tell from their neighbours, and names of {@link ESCAPED} characters. (Of a fraction nobody can tell what
 * digits it had.)
 * @throws KeyfoldError `InvalidRequest`
 */
export function exactJsonText(event: unknown): string {
  try {
    return exactJson.stringify(event, (name, value) => {
      if (ESCAPED.test(name)) throw inexact('a name that Lambda may not have passed on exactly: send it');
      return typeof value === 'number' ? exactNumber(value) : value;
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new KeyfoldError('InvalidRequest', 'The document is nested too deeply.');
  }
}

function exactNumber(value: number): unknown {
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return Object.is(value, -0) ? exactJson.rawJSON('-0') : value;
  throw inexact('a number that Lambda may not have passed on exactly: send it');
}

/**
 * Opened values add to the depth and the number of a request's values. The limits of a request and of its plaintext bound how many
 * they are, and each value that is opened is at most {@link MAX_JSON_DEPTH} deep.
 */
const ANSWER_BOUNDS: JsonBounds = { subject: 'answer', depth: 2 * MAX_JSON_DEPTH, values: Infinity };

/**
 * The value of an answer's JSON text. `JSON.stringify` writes each of its numbers with the digits that the text has.
 * @throws KeyfoldError `InvalidRequest` for a name that the caller's `JSON.parse` may take for another, and for two members of one name
 */
export function exactValue(text: string): unknown {
  const root = locateValues(text, ANSWER_BOUNDS);
  if (text.includes('\\')) {
    for (const { members } of withDescendants([root])) {
      for (const name of members?.keys() ?? []) {
        if (ESCAPED.test(name)) throw inexact('a name that may not reach the caller exactly: ask for it');
      }
    }
  }
  return valueOf(text, root, exactPrimitive);
}

function exactPrimitive(source: string): unknown {
  const value: unknown = JSON.parse(source);
  return typeof value === 'number' ? withDigits(value, source) : value;
}

function withDigits(value: number, source: string): unknown {
  return String(value) === source ? value : exactJson.rawJSON(source);
}

function inexact(what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The document holds ${what} as documentText.`);
}
