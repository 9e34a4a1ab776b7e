import { decodeCompactRecord, looksCompact, type CompactRecord } from '../envelope/compact-record.ts';
import { KeyfoldError, recordUnreadable } from '../envelope/errors.ts';
import { stringOf, type JsonValue } from './json-text.ts';
import type { OperationContext } from './operation.ts';

/** The compact record that a value of a document claims to be, as text; undefined where it claims nothing. */
export function sealedTextOf(text: string, value: JsonValue): string | undefined {
  const string = stringOf(text, value);
  return string !== undefined && looksCompact(string) ? string : undefined;
}

/**
 * Reads the compact record of a field.
 * @throws KeyfoldError `RecordUnreadable`: whatever was done to a record in a document, it is one that does not open
 */
export function readSealedField(text: string): CompactRecord {
  try {
    return decodeCompactRecord(text);
  } catch (error) {
    throw error instanceof KeyfoldError ? recordUnreadable(error.message) : error;
  }
}

/**
 * Opens a field.
 * @returns its JSON text; of one that holds bytes, a string with their base64
 * @throws KeyfoldError `RecordUnreadable`
 */
export async function openField(
  { kind, record }: CompactRecord,
  { session, limits }: OperationContext,
): Promise<string> {
  const payload = await session.decrypt(record, limits);
  return kind === 'bytes' ? `"${payload.toString('base64')}"` : jsonTextOf(payload);
}

/** Who sealed bytes could have them called a field: what is put into a document is a JSON value, whole. */
function jsonTextOf(payload: Buffer): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload);
    JSON.parse(text);
    return text;
  } catch {
    throw recordUnreadable('the payload is not the text of a JSON value');
  }
}
