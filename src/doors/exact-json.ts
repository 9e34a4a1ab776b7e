import { KeyfoldError } from '../envelope/errors.ts';

/** What Node 24 has of JSON and TypeScript's library does not (ECMA-262, JSON.parse source text access). */
interface ExactJson {
  rawJSON(text: string): unknown;
  parse(text: string, reviver: (name: string, value: unknown, at: { readonly source?: string }) => unknown): unknown;
  stringify(value: unknown, replacer: (name: string, value: unknown) => unknown): string;
}
const exactJson = JSON as unknown as ExactJson;

/**
 * The JSON text of an event that Lambda has parsed. Whole numbers that a double does not tell from their neighbours are refused:
 * another may have been written. (Of a fraction nobody can tell what digits it had.)
 * @throws KeyfoldError `InvalidRequest`
 */
export function exactJsonText(event: unknown): string {
  try {
    return exactJson.stringify(event, (_name, value) => (typeof value === 'number' ? exactNumber(value) : value));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new KeyfoldError('InvalidRequest', 'The document is nested too deeply.');
  }
}

function exactNumber(value: number): unknown {
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return Object.is(value, -0) ? exactJson.rawJSON('-0') : value;
  throw new KeyfoldError(
    'InvalidRequest',
    'The document holds a number that Lambda may not have passed on exactly: send it as documentText.',
  );
}

/** The value of a JSON text, of which `JSON.stringify` writes each number with the digits that it has in the text. */
export function exactValue(text: string): unknown {
  return exactJson.parse(text, (_name, value: unknown, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source ? exactJson.rawJSON(source) : value,
  );
}
