import { KeyfoldError } from '../errors.ts';
import { hasRepeatedNames } from '../records/fast-paths.ts';
import { parseRequestJson } from '../records/json-depth.ts';
import { locateValues, twoMembersOfOneName, valueOf } from '../operations/json-text.ts';
import type { OperationRequest } from '../operations/operation.ts';

/**
 * Parses the JSON text of a request. The function refuses an object with two members of the same name, because JSON
 * parsers disagree about which one counts.
 * @throws KeyfoldError `InvalidRequest`, which never contains the text
 */
export function requestOf(text: string): OperationRequest {
  const value = parse(text);
  const isRepeated = hasDocument(value) ? undefined : hasRepeatedNames(text, value);
  if (isRepeated === true) throw twoMembersOfOneName();
  if (isRepeated === false) return { value, text: () => text };
  const root = locateValues(text);
  // JSON.parse of Node 24.21 can confuse names, but only in a text that contains a backslash.
  return { value: text.includes('\\') ? valueOf(text, root) : value, text: () => text, root };
}

/**
 * Whether a request contains a document. If it does, an operation may have to find the document's values in the text.
 */
function hasDocument(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'document');
}

function parse(text: string): unknown {
  if (text.startsWith('\ufeff')) {
    throw new KeyfoldError('InvalidRequest', 'The body begins with a byte order mark: send it without one.');
  }
  try {
    return parseRequestJson(text);
  } catch (error) {
    if (error instanceof KeyfoldError) throw error;
    // The error of JSON.parse quotes its input, so the function neither passes it on nor keeps it as a cause.
    throw new KeyfoldError('InvalidRequest', 'The body is not JSON.');
  }
}
