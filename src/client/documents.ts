import { hasLargeNumber } from '../records/fast-paths.ts';
import { OBJECT } from '../input/checks.ts';
import { KeyfoldTransportError } from './errors.ts';
import { jsonOf } from './json.ts';

/** Exactly one of a document as a JavaScript value, or as JSON text. In JSON text, numbers keep all their digits. */
export type GivenDocument =
  | { readonly document: unknown; readonly documentText?: undefined }
  | { readonly documentText: string; readonly document?: undefined };

/**
 * Returns the document as JSON text. The client always sends text, so that no parser on the way rounds a number.
 * @throws TypeError unless exactly one of `document` and `documentText` is given, or if the document has no JSON form
 * that keeps all its values
 * @throws KeyfoldServiceError `InvalidRequest` if the document is nested too deeply for JSON.stringify
 */
export function documentTextOf({ document, documentText }: GivenDocument): string {
  if ((document === undefined) === (documentText === undefined)) {
    throw new TypeError('request must have one of document and documentText.');
  }
  if (documentText !== undefined) return documentText;
  const text = jsonOf(document, 'request.document', lossless);
  // JSON.stringify returns undefined for functions and symbols, although its declared return type is string.
  if (text === undefined) throw new TypeError('request.document has no JSON form.');
  return text;
}

/**
 * A replacer of JSON.stringify that refuses what JSON.stringify would drop, or replace by `null` or `{}`: the service
 * would seal the replacement, and the value would be lost. Members that are undefined are left out, as always.
 */
function lossless(this: unknown, _name: string, value: unknown): unknown {
  const isKept = typeof value === 'object' ? isKeptObject(value) : isKeptPrimitive(value, this);
  if (isKept) return value;
  throw new TypeError('JSON has no such value: a function, NaN, a Map, bytes or undefined in an array.');
}

function isKeptPrimitive(value: unknown, holder: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  if (value === undefined) return !Array.isArray(holder);
  return typeof value !== 'function' && typeof value !== 'symbol';
}

function isKeptObject(value: object | null): boolean {
  if (value === null || Array.isArray(value) || OBJECT.holds(value)) return true;
  // JSON.stringify unwraps these three.
  const tag = Object.prototype.toString.call(value);
  if (tag === '[object Number]') return Number.isFinite(Number(value));
  return tag === '[object String]' || tag === '[object Boolean]';
}

/**
 * Parses a document's JSON text into a JavaScript value. Fractions are rounded to the nearest JavaScript number.
 * @throws KeyfoldTransportError `UnexpectedAnswer` if the text is not JSON
 * @throws KeyfoldTransportError `InexactNumber` if a number is larger than `Number.MAX_SAFE_INTEGER`, so parsing may
 * change it
 * @throws KeyfoldTransportError `InexactName` if a member's name contains a backslash. `JSON.parse` of Node 24.21 may
 * confuse two names if one is written with a backslash, and the name that it then returns always contains a backslash.
 */
export function documentOf(text: string, requestId: string | undefined): unknown {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new KeyfoldTransportError('UnexpectedAnswer', 'The document is not JSON.', { requestId });
  }
  if (hasLargeNumber(text) ?? someValue(document, isLarge)) {
    throw new KeyfoldTransportError(
      'InexactNumber',
      'The document contains a number that JavaScript cannot represent exactly. Send documentText instead.',
      { requestId },
    );
  }
  if (text.includes('\\') && someValue(document, hasNameWithBackslash)) {
    throw new KeyfoldTransportError(
      'InexactName',
      'The document contains a name that JSON.parse may have confused with another. Send documentText instead.',
      { requestId },
    );
  }
  return document;
}

/** Whether a parsed number may differ from its JSON text. */
function isLarge(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER;
}

function hasNameWithBackslash(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).some((name) => name.includes('\\'));
}

/** Whether a predicate holds for a value or for any value nested in it. */
function someValue(value: unknown, predicate: (value: unknown) => boolean): boolean {
  const pending = [value];
  while (pending.length > 0) {
    const next = pending.pop();
    if (predicate(next)) return true;
    if (typeof next !== 'object' || next === null) continue;
    for (const inner of Object.values(next)) pending.push(inner);
  }
  return false;
}
