import { KeyfoldError } from '../errors.ts';
import { isJsonObject } from '../input/json-object.ts';
import { contextsIn } from '../operations/context.ts';
import { MAX_JSON_DEPTH } from '../records/json-depth.ts';
import { withDescendants } from '../operations/field-paths.ts';
import { locateValues, valueOf, type JsonBounds } from '../operations/json-text.ts';

/** Functions of `JSON` in Node 24 that TypeScript's types lack (ECMA-262, JSON.parse source text access). */
interface ExactJson {
  rawJSON(text: string): unknown;
  stringify(value: unknown, replacer: (name: string, value: unknown) => unknown): string;
}
const exactJson = JSON as unknown as ExactJson;

/**
 * Matches a character that JSON escapes or may escape: `"`, `\`, control characters and lone surrogates. Node 24.21 has
 * a bug: `JSON.parse` can mistake a name that is written with an escape for an earlier name that contains a backslash.
 * The wrong name always contains a backslash. So this pattern finds every name that `JSON.parse` may have confused, in
 * Keyfold or in the caller's code.
 */
const ESCAPED = /["\\]|[^ -\ud7ff\ue000-\u{10ffff}]/u;

/**
 * Writes the JSON text of an event that Lambda has already parsed. Parsing may have changed whole numbers beyond 2^53 -
 * 1 and names with {@link ESCAPED} characters, so the function refuses both. It cannot detect a fraction that lost
 * digits.
 * @throws KeyfoldError `InvalidRequest` for such a number or name, and for an event that is nested too deeply
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
 * Checks the names in the contexts of an event that Lambda has already parsed.
 * @throws KeyfoldError `InvalidRequest` for a name that JSON writes with an escape, because parsing may have changed
 * it. A record that is bound to a wrong name would never open again.
 */
export function refuseInexactNames(event: unknown): void {
  for (const context of contextsIn(event)) {
    if (!isJsonObject(context) || !Object.keys(context).some((name) => ESCAPED.test(name))) continue;
    const message = 'The context holds a name that Lambda may not have passed on exactly: use names without escapes.';
    throw new KeyfoldError('InvalidRequest', message);
  }
}

/**
 * The limits of a response. A document may have {@link MAX_JSON_DEPTH} levels, and a decrypted value inside it may have
 * as many again. The number of values needs no limit here, because the request already had one.
 */
const ANSWER_BOUNDS: JsonBounds = { subject: 'answer', depth: 2 * MAX_JSON_DEPTH, values: Infinity };

/**
 * Parses the JSON text of a response so that `JSON.stringify` writes each number with the same digits as the text.
 * @throws KeyfoldError `InvalidRequest` if an object has two members of the same name, or if the caller's `JSON.parse`
 * may take a name for another one
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
