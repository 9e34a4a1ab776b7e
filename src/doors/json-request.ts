import { KeyfoldError } from '../errors.ts';
import { parseRequestJson } from '../records/json-depth.ts';
import { locateValues, twoMembersOfOneName, valueOf } from '../operations/json-text.ts';
import type { OperationRequest } from '../operations/operation.ts';

const [QUOTE, COLON] = [0x22, 0x3a];

/**
 * A request from its JSON text. Readers disagree about which of two members with one name counts, so no object may have two.
 * @throws KeyfoldError `InvalidRequest`; never with the text on it
 */
export function requestOf(text: string): OperationRequest {
  const value = parse(text);
  // In a text without a backslash, JSON.parse takes no name for another.
  const isExact = !text.includes('\\');
  if (isExact && !hasDocument(value)) {
    // JSON.parse keeps one of two members, so the text then has more names. To count takes a third of the time of locateValues.
    if (countMembers(value) !== countNames(text)) throw twoMembersOfOneName();
    return { value, text: () => text };
  }
  const root = locateValues(text);
  return { value: isExact ? value : valueOf(text, root), text: () => text, root };
}

/** Whether an operation may ask where the values stand. */
function hasDocument(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, 'document');
}

/** The members of all objects in a value whose depth is bounded. */
function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countMembers(item);
    return count;
  }
  // Object.values would make an array of each object.
  for (const name in value) count += 1 + countMembers((value as Readonly<Record<string, unknown>>)[name]);
  return count;
}

/** The names in a JSON text without backslashes: a colon outside of a string follows each. */
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
    // The parser's own error quotes what it read.
    throw new KeyfoldError('InvalidRequest', 'The body is not JSON.');
  }
}
