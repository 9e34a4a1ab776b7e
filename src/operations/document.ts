import * as v from 'valibot';
import { KeyfoldError } from '../errors.ts';
import { parseRequestJson } from '../records/json-depth.ts';
import { MAX_PATH_LENGTH } from './json-path.ts';
import { locateValues, type JsonValue } from './json-text.ts';
import type { OperationContext, OperationRequest } from './operation.ts';

/** The JSON document of a request, in its original text. */
export interface JsonDocument {
  readonly text: string;
  readonly root: JsonValue;
  /**
   * Whether the request contains the document as `documentText`. If so, the response also contains a `documentText`.
   */
  readonly asText: boolean;
}

/** A value of a document, and the JSON text that replaces it. */
export type Replacement = readonly [value: JsonValue, text: string];

export const MAX_PATHS = 100;
const FIELDS_LENGTH = `fields must have 1 to ${MAX_PATHS} entries.`;

/** The schemas of the request members that hold a document. A request has exactly one of them. */
export const documentEntries = {
  document: v.optional(v.pipe(v.unknown(), v.description('Any JSON value. Keyfold keeps every digit of its numbers.'))),
  documentText: v.optional(
    v.pipe(
      v.string(),
      v.description('In place of document: the JSON text in a string. The answer then has a documentText, too.'),
    ),
  ),
};

/** The schema of `allowMissing`. */
export const allowMissingEntry = v.pipe(
  v.boolean(),
  v.description('Accepts paths that select nothing. Otherwise they are an error.'),
);

/** The schema of `fields`. */
export const fieldsEntry = v.pipe(
  v.array(v.pipe(v.string(), v.metadata({ maxLength: MAX_PATH_LENGTH }))),
  v.minLength(1, FIELDS_LENGTH),
  v.maxLength(MAX_PATHS, FIELDS_LENGTH),
  v.description('JSONPaths (RFC 9535) without filters. No path may select a value inside another selected value.'),
);

/**
 * Reads the document of a request: its `document`, or the JSON text in its `documentText`.
 * @throws KeyfoldError `InvalidRequest` if the request has neither or both, if `documentText` is not JSON, or if
 * the text contains a lone surrogate
 */
export function readDocument(request: OperationRequest, documentText: string | undefined): JsonDocument {
  if (documentText === undefined) {
    const text = wellFormed(request.text());
    const root = (request.root ?? locateValues(text)).members?.get('document');
    if (root === undefined) {
      throw new KeyfoldError('InvalidRequest', 'The request must have a document, or its JSON text as documentText.');
    }
    return { text, root, asText: false };
  }
  if (Object.hasOwn(request.value as object, 'document')) {
    throw new KeyfoldError('InvalidRequest', 'The request must have either a document or a documentText, not both.');
  }
  mustBeJson(documentText);
  return { text: wellFormed(documentText), root: locateValues(documentText), asText: true };
}

/**
 * Writes the response with the changed document, as JSON text.
 * @param replacements in the order of the document
 */
export function writeDocument({ text, root, asText }: JsonDocument, replacements: readonly Replacement[]): string {
  // White space around the root belongs to a documentText, but not to a document.
  const [start, end] = asText ? [0, text.length] : [root.start, root.end];
  const parts: string[] = [];
  let at = start;
  for (const [value, replacement] of replacements) {
    parts.push(text.slice(at, value.start), replacement);
    at = value.end;
  }
  const written = parts.join('') + text.slice(at, end);
  return asText ? `{"documentText":${JSON.stringify(written)}}` : `{"document":${written}}`;
}

/**
 * Reports how many values a request selects, and checks that number.
 * @throws KeyfoldError `InvalidRequest` if there are more than `maxItems`
 */
export function countValues(values: readonly JsonValue[], { maxItems, itemsCounted }: OperationContext): void {
  itemsCounted(values.length);
  if (values.length <= maxItems) return;
  throw new KeyfoldError('InvalidRequest', `The request selects more than ${maxItems} values of the document.`);
}

function mustBeJson(text: string): void {
  try {
    parseRequestJson(text);
  } catch (error) {
    if (error instanceof KeyfoldError) throw error;
    throw new KeyfoldError('InvalidRequest', 'documentText must be JSON.');
  }
}

/** Refuses lone surrogates. UTF-8 cannot encode them, so encryption would silently replace them with U+FFFD. */
function wellFormed(text: string): string {
  if (text.isWellFormed()) return text;
  throw new KeyfoldError('InvalidRequest', 'The document is not well-formed Unicode.');
}
