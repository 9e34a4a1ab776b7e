import { KeyfoldError } from '../errors.ts';
import { parseRequestJson } from '../records/json-depth.ts';
import { locateValues, twoMembersOfOneName, valueOf } from '../operations/json-text.ts';
import type { OperationRequest } from '../operations/operation.ts';

const [QUOTE, COLON] = [0x22, 0x3a];

/**
 * Parses the JSON text of a request. Objects with two members of one name are refused, because JSON parsers disagree
 * about which of the two counts.
 * @throws KeyfoldError `InvalidRequest`, which never contains the text
 */
export function requestOf(text: string): OperationRequest {
  const value = parse(text);
  // JSON.parse of Node 24.21 can confuse names, but only in a text that contains a backslash.
  const isExact = !text.includes('\\');
  if (isExact && !hasDocument(value)) {
    // JSON.parse drops repeated members, so the text has more names than the value. Counting takes a third as long as
    // locateValues.
    if (countMembers(value) !== countNames(text)) throw twoMembersOfOneName();
    return { value, text: () => text };
  }
  const root = locateValues(text);
  return { value: isExact ? value : valueOf(text, root), text: () => text, root };
}

/** Whether a request contains a document, whose values an operation may need to locate in the text. */
function hasDocument(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'document');
}

/** Counts the members of all objects in a value. The parser has bounded the depth, so recursion is safe. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item);
    return count;
  }
  // Object.values would allocate an array for each object.
  for (const name in value) count += 1 + countMembers((value as Readonly<Record<string, unknown>>)[name]);
  return count;
}

/** Counts the member names in a JSON text without backslashes. Each is followed by a colon outside of a string. */
function countNames(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) at = text.indexOf('"', at + 1);
    else if (character === COLON) count += 1;
  }
  return count;
}

function parse(text: string): unknown {
  if (text.startsWith('\ufeff')) {
    throw new KeyfoldError('InvalidRequest', 'The body begins with a byte order mark: send it without one.');
  }
  try {
    return parseRequestJson(text);
  } catch (error) {
    if (error instanceof KeyfoldError) throw error;
    // The error of JSON.parse quotes its input, so it is neither passed on nor kept as a cause.
    throw new KeyfoldError('InvalidRequest', 'The body is not JSON.');
  }
}
