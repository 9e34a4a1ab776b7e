import { decodeCompactRecord, looksCompact, type CompactKind } from '../records/compact-record.ts';
import { dataRowRecordFromValue, decodeDataRowRecord, type DataRowRecord } from '../records/data-row-record.ts';

/** A parsed record, and the form in which it was written. */
export interface AnyRecord {
  /**
   * `object` for Asherah's JSON object. For a compact record, the kind of its content: `bytes`, or `json` for a field
   * of a document.
   */
  readonly form: 'object' | CompactKind;
  readonly record: DataRowRecord;
}

/**
 * Reads a record in any form: a compact string, JSON text, a JSON object, or a response from the API with the member
 * `record`.
 * @param value a string, or a value that `JSON.parse` returned
 * @throws KeyfoldError `InvalidRequest`. The error does not quote the record.
 */
export function readAnyRecord(value: unknown): AnyRecord {
  return readNested(value, true);
}

/**
 * @param mayWrap whether the value may be a response from the API. False inside a response, because responses are not
 * nested.
 */
function readNested(value: unknown, mayWrap: boolean): AnyRecord {
  if (typeof value === 'string') {
    const text = value.trim();
    if (looksCompact(text)) {
      const { kind, record } = decodeCompactRecord(text);
      return { form: kind, record };
    }
    const parsed = parseJson(text);
    return parsed === undefined ? { form: 'object', record: decodeDataRowRecord(text) } : readNested(parsed, mayWrap);
  }
  const isAnswer = mayWrap && typeof value === 'object' && value !== null && 'record' in value;
  if (isAnswer) return readNested(value.record, false);
  return { form: 'object', record: dataRowRecordFromValue(value) };
}

/** Parses JSON. Returns undefined if the text is not JSON, or if it is a JSON string that is not a compact record. */
function parseJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' && !looksCompact(value.trim()) ? undefined : value;
  } catch {
    return undefined;
  }
}
