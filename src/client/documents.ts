import { KeyfoldTransportError } from './errors.ts';

/** A document as a JavaScript value, or as JSON text, whose numbers keep all their digits. Just one of the two. */
export type GivenDocument =
  | { readonly document: unknown; readonly documentText?: undefined }
  | { readonly documentText: string; readonly document?: undefined };

/**
 * The document as it is sent: always as text, which nothing on the way parses.
 * @throws TypeError unless there is just one of the two, and it has a JSON
 */
export function documentTextOf({ document, documentText }: GivenDocument): string {
  if ((document === undefined) === (documentText === undefined)) {
    throw new TypeError('request must have one of document and documentText.');
  }
  if (documentText !== undefined) return documentText;
  let text: string | undefined;
  try {
    text = JSON.stringify(document);
  } catch (cause) {
    throw new TypeError('request.document has no JSON.', { cause });
  }
  // Whatever its type says, it has no text for functions and symbols.
  if (text === undefined) throw new TypeError('request.document has no JSON.');
  return text;
}

/**
 * A document as a JavaScript value.
 * @throws KeyfoldTransportError `InexactNumber` where a whole number in it is beyond what JavaScript holds exactly: it would
 * come out as another. (Of a fraction, `1.10` or one of twenty digits, the nearest that JavaScript holds comes out.)
 */
export function documentOf(text: string, requestId: string | undefined): unknown {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new KeyfoldTransportError('UnexpectedAnswer', 'The document is not JSON.', { requestId });
  }
  if (!mayHoldLargeNumber(text) || holdsExactNumbers(document)) return document;
  throw new KeyfoldTransportError(
    'InexactNumber',
    'The document holds a number that JavaScript cannot hold exactly: ask with documentText.',
    { requestId },
  );
}

/** Sixteen digits, or a power of ten: rare outside of what is sealed, so that most documents are gone through once. */
function mayHoldLargeNumber(text: string): boolean {
  return /\d{16}|\d[eE]\+?\d/.test(text);
}

/** Whether each of its numbers can only have been written for this one. */
function holdsExactNumbers(value: unknown): boolean {
  const open = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next === 'number' && Math.abs(next) > Number.MAX_SAFE_INTEGER) return false;
    if (typeof next !== 'object' || next === null) continue;
    for (const inner of Object.values(next)) open.push(inner);
  }
  return true;
}
