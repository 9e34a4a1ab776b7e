import { decodeCompactRecord, looksCompact, type CompactRecord } from '../records/compact-record.ts';
import { KeyfoldError, recordUnreadable } from '../errors.ts';
import { isNestedTooDeeply } from '../records/json-depth.ts';
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

/**
 * The label `kf1j.` is not sealed, so a caller can relabel sealed bytes as a field. Only one whole JSON value goes into a document,
 * and none that is nested deeper than `encrypt-fields` would have sealed.
 */
function jsonTextOf(payload: Buffer): string {
  const text = utf8Of(payload);
  if (text === undefined || !isJson(text)) throw recordUnreadable('the payload is not the text of a JSON value');
  if (isNestedTooDeeply(text)) throw recordUnreadable('the payload is nested too deeply for a field');
  return text;
}

function utf8Of(payload: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload);
  } catch {
    return undefined;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
