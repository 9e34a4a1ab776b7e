import * as v from 'valibot';
import { KeyfoldError } from '../errors.ts';
import { parseRequestJson } from '../records/json-depth.ts';
import { MAX_PATH_LENGTH } from './json-path.ts';
import { locateValues, type JsonValue } from './json-text.ts';
import type { OperationContext, OperationRequest } from './operation.ts';

/** A JSON document of a request, as it was written. */
export interface JsonDocument {
  readonly text: string;
  readonly root: JsonValue;
  /** Whether it came as text, and so goes back as text. */
  readonly asText: boolean;
}

/** A value of a document, and the JSON text to be put in its place. */
export type Replacement = readonly [value: JsonValue, text: string];

export const MAX_PATHS = 100;
const FIELDS_LENGTH = `fields must have 1 to ${MAX_PATHS} entries.`;

/** The members of a request with which a document comes. */
export const documentEntries = {
  document: v.optional(v.pipe(v.unknown(), v.description('Any JSON. It is kept as it was written, to the digit.'))),
  documentText: v.optional(
    v.pipe(v.string(), v.description('In place of document: the JSON as a text. The answer then has a documentText.')),
  ),
};

/** How JSON Schema says that a document comes in one of the two ways. */
export const ONE_DOCUMENT = { oneOf: [{ required: ['document'] }, { required: ['documentText'] }] };

/** What an operation on a document answers with. */
export const documentOutput = v.union([
  v.strictObject({ document: v.unknown() }),
  v.strictObject({ documentText: v.string() }),
]);

/** The member of a request that lets a path select nothing. */
export const allowMissingEntry = v.pipe(
  v.boolean(),
  v.description('Lets a path select nothing, which is an error otherwise.'),
);

/** The member of a request that says which values are meant. */
export const fieldsEntry = v.pipe(
  v.array(v.pipe(v.string(), v.metadata({ maxLength: MAX_PATH_LENGTH }))),
  v.minLength(1, FIELDS_LENGTH),
  v.maxLength(MAX_PATHS, FIELDS_LENGTH),
  v.description('JSONPaths (RFC 9535) without filters; none may select a value inside one that another selects.'),
);

/**
 * The document of a request: its `document`, or the JSON text in its `documentText`.
 * @throws KeyfoldError `InvalidRequest` where there is not just one, or it is none
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

/** The answer with a document some of whose values are replaced, in the document's order, as JSON text. */
export function writeDocument({ text, root, asText }: JsonDocument, replacements: readonly Replacement[]): string {
  // White space around the root is part of a text, and of no member of a request.
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
 * Counts the values that a request means.
 * @throws KeyfoldError `InvalidRequest` for too many
 */
export function countValues(values: readonly JsonValue[], { maxItems, itemsCounted }: OperationContext): void {
  itemsCounted(values.length);
  if (values.length <= maxItems) return;
  throw new KeyfoldError('InvalidRequest', `The request means more than ${maxItems} values of the document.`);
}

function mustBeJson(text: string): void {
  try {
    parseRequestJson(text);
  } catch (error) {
    if (error instanceof KeyfoldError) throw error;
    throw new KeyfoldError('InvalidRequest', 'documentText must be JSON.');
  }
}

/** Half of a surrogate pair has no UTF-8: sealing would put another character in its place. */
function wellFormed(text: string): string {
  if (text.isWellFormed()) return text;
  throw new KeyfoldError('InvalidRequest', 'The document is not well-formed Unicode.');
}
