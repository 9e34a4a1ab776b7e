import { hasLargeNumber } from '../records/fast-paths.ts';
import { KeyfoldTransportError } from './errors.ts';
import { jsonOf } from './json.ts';

/** Exactly one of a document as a JavaScript value, or as JSON text. In JSON text, numbers keep all their digits. */
export type GivenDocument =
  | { readonly document: unknown; readonly documentText?: undefined }
  | { readonly documentText: string; readonly document?: undefined };

/**
 * Returns the document as JSON text. The client always sends text, so that no parser on the way rounds a number.
 * @throws TypeError unless exactly one of `document` and `documentText` is given, or if the document has no JSON form
 * @throws KeyfoldServiceError `InvalidRequest` if the document is nested too deeply for JSON.stringify
 */
export function documentTextOf({ document, documentText }: GivenDocument): string {
  if ((document === undefined) === (documentText === undefined)) {
    throw new TypeError('request must have one of document and documentText.');
  }
  if (documentText !== undefined) return documentText;
  const text = jsonOf(document, 'request.document');
  // JSON.stringify returns undefined for functions and symbols, although its declared return type is string.
  if (text === undefined) throw new TypeError('request.document has no JSON form.');
  return text;
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
