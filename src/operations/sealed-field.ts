import { decodeCompactRecord, looksCompact, type CompactRecord } from '../records/compact-record.ts';
import { utf8Of } from '../crypto/utf8.ts';
import { KeyfoldError, recordUnreadable } from '../errors.ts';
import { isNestedTooDeeply } from '../records/json-depth.ts';
import { stringOf, type JsonValue } from './json-text.ts';
import type { OperationContext } from './operation.ts';

/** Returns a value if it is a string that looks like a compact record. Otherwise returns undefined. */
export function sealedTextOf(text: string, value: JsonValue): string | undefined {
  const string = stringOf(text, value);
  return string !== undefined && looksCompact(string) ? string : undefined;
}

/**
 * Reads the compact record of a field.
 * @throws KeyfoldError `RecordUnreadable` if the record is malformed. Every kind of damage to a record in a document
 * leads to this code.
 */
export function readSealedField(text: string): CompactRecord {
  try {
    return decodeCompactRecord(text);
  } catch (error) {
    throw error instanceof KeyfoldError ? recordUnreadable(error.message) : error;
  }
}

/**
 * Decrypts a field.
 * @returns JSON text. If the record holds bytes, the text is a JSON string with the bytes in base64.
 * @throws KeyfoldError `RecordUnreadable`
 */
export async function openField(
  { kind, record }: CompactRecord,
  { session, limits }: OperationContext,
): Promise<string> {
  const payload = await session.decrypt(record, limits);
  return kind === 'bytes' ? `"${payload.toString('base64')}"` : jsonTextOf(payload);
}

/**
 * Checks that a payload is a single JSON value, and that it is not nested deeper than `encrypt-fields` allows. The
 * label `kf1j.` is not authenticated, so a caller can relabel encrypted bytes as a field.
 */
export function jsonTextOf(payload: Buffer): string {
  const text = utf8Of(payload);
  if (text === undefined || !isJson(text)) throw recordUnreadable('the payload is not the text of a JSON value');
  if (isNestedTooDeeply(text)) throw recordUnreadable('the payload is nested too deeply for a field');
  return text;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
