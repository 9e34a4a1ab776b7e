import { KeyfoldError } from '../envelope/errors.ts';
import { parseRequestJson } from '../envelope/json-depth.ts';
import { locateValues, valueOf } from '../operations/json-text.ts';
import type { OperationRequest } from '../operations/operation.ts';

/**
 * A request from its JSON text. Readers disagree about which of two members with one name counts, so no object may have such.
 * @throws KeyfoldError `InvalidRequest`; never with the text on it
 */
export function requestOf(text: string): OperationRequest {
  const value = parse(text);
  const root = locateValues(text);
  // If the text has no backslash, JSON.parse has taken no name for another.
  return { value: text.includes('\\') ? valueOf(text, root) : value, text: () => text, root };
}

function parse(text: string): unknown {
  if (text.startsWith('\ufeff')) {
    throw new KeyfoldError('InvalidRequest', 'The body begins with a byte order mark: send it without one.');
  }
  try {
    return parseRequestJson(text);
  } catch (error) {
    if (error instanceof KeyfoldError) throw error;
    // The parser's own error quotes what it read.
    throw new KeyfoldError('InvalidRequest', 'The body is not JSON.');
  }
}
