import { KeyfoldTransportError } from './errors.ts';
import { jsonOf } from './json.ts';

/** A document as a JavaScript value, or as JSON text, whose numbers keep all their digits. Just one of the two. */
export type GivenDocument =
  | { readonly document: unknown; readonly documentText?: undefined }
  | { readonly documentText: string; readonly document?: undefined };

/**
 * The document as it is sent: always as text, which nothing on the way parses.
 * @throws as {@link jsonOf}; TypeError unless there is just one of the two, and it has a JSON
 */
export function documentTextOf({ document, documentText }: GivenDocument): string {
  if ((document === undefined) === (documentText === undefined)) {
    throw new TypeError('request must have one of document and documentText.');
  }
  if (documentText !== undefined) return documentText;
  const text = jsonOf(document, 'request.document');
  // Whatever its type says, it has no text for functions and symbols.
  if (text === undefined) throw new TypeError('request.document has no JSON.');
  return text;
}

/**
 * A document as a JavaScript value.
 * @throws KeyfoldTransportError `InexactNumber` if it holds a whole number beyond what JavaScript holds exactly, which would
 * come out as another. (Of a fraction, `1.10` or one of twenty digits, the nearest that JavaScript holds comes out.)
 * @throws KeyfoldTransportError `InexactName` if it holds a name that may be another. `JSON.parse` of Node 24.21 takes one name for
 * another only if either is written with a backslash, and what it takes it for holds one.
 */
export function documentOf(text: string, requestId: string | undefined): unknown {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new KeyfoldTransportError('UnexpectedAnswer', 'The document is not JSON.', { requestId });
  }
  if (mayHoldLargeNumber(text) && someValue(document, isLarge)) {
    throw new KeyfoldTransportError(
      'InexactNumber',
      'The document holds a number that JavaScript cannot hold exactly: ask with documentText.',
      { requestId },
    );
  }
  if (text.includes('\\') && someValue(document, holdsBackslashInName)) {
    throw new KeyfoldTransportError(
      'InexactName',
      'The document holds a name that JavaScript may have taken for another: ask with documentText.',
      { requestId },
    );
  }
  return document;
}

/** Sixteen digits, or a power of ten: rare outside of what is sealed, so that most documents are gone through once. */
function mayHoldLargeNumber(text: string): boolean {
  return /\d{16}|\d[eE]\+?\d/.test(text);
}

/** Whether another number than this may have been written. */
function isLarge(value: unknown): boolean {
  return typeof value === 'number' && Math.abs(value) > Number.MAX_SAFE_INTEGER;
}

function holdsBackslashInName(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).some((name) => name.includes('\\'));
}

/** Whether that is so of a value, or of one inside it. */
function someValue(value: unknown, isSo: (value: unknown) => boolean): boolean {
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (isSo(next)) return true;
    if (typeof next !== 'object' || next === null) continue;
    for (const inner of Object.values(next)) open.push(inner);
  }
  return false;
}
