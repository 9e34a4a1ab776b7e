import { locateValues, stringOf, type JsonValue } from '../../operations/json-text.ts';
import { withDescendants } from '../../operations/field-paths.ts';
import { readSealedField, sealedTextOf } from '../../operations/sealed-field.ts';
import type { JsonDocument } from '../../operations/document.ts';
import { looksCompact, type CompactRecord } from '../../records/compact-record.ts';
import { mayBeRecord } from './content.ts';

/** A sealed field of a document: its place in the text, and its record. */
export interface SealedField extends CompactRecord {
  readonly value: JsonValue;
}

/** Locates the values of a document. */
export function documentOf(text: string): JsonDocument {
  return { text, root: locateValues(text), asText: true };
}

/**
 * Finds the compact records of a document, in the order of its text.
 * @throws KeyfoldError `RecordUnreadable` if one of them is malformed
 */
export function sealedFieldsOf({ text, root }: JsonDocument): SealedField[] {
  const fields: SealedField[] = [];
  for (const value of withDescendants([root])) {
    const compact = sealedTextOf(text, value);
    if (compact !== undefined) fields.push({ value, ...readSealedField(compact) });
  }
  return fields.toSorted((a, b) => a.value.start - b.value.start);
}

/** Whether a string of a document may be a record in a form that a run does not read. */
export function hidesRecord({ text, root }: JsonDocument): boolean {
  for (const value of withDescendants([root])) {
    const string = stringOf(text, value);
    if (string !== undefined && !looksCompact(string) && mayBeRecord(string)) return true;
  }
  return false;
}

/** Replaces values in a JSON text. The values must be in the order of the text. */
export function spliced(text: string, replacements: readonly (readonly [value: JsonValue, text: string])[]): string {
  const parts: string[] = [];
  let at = 0;
  for (const [value, replacement] of replacements) {
    parts.push(text.slice(at, value.start), replacement);
    at = value.end;
  }
  return parts.join('') + text.slice(at);
}
