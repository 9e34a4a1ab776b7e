import { SEAL_OVERHEAD_BYTES } from '../envelope/aead.ts';
import { decodeCompactRecord, encodeCompactRecord, type CompactKind } from '../envelope/compact-record.ts';
import { dataRowRecordFromValue, encodeDataRowRecord, type DataRowRecord } from '../envelope/data-row-record.ts';

/** How a record is written: as Asherah's JSON object, or as a compact string of some kind. */
export type RecordForm = 'object' | CompactKind;

/** A record of a request, and the form that it came in. */
export interface GivenRecord {
  readonly record: DataRowRecord;
  readonly form: RecordForm;
}

/**
 * Reads a record in either of its forms.
 * @throws KeyfoldError `InvalidRequest`
 */
export function readRecord(value: unknown): GivenRecord {
  if (typeof value !== 'string') return { record: dataRowRecordFromValue(value), form: 'object' };
  const { kind, record } = decodeCompactRecord(value);
  return { record, form: kind };
}

/** A record as JSON text; as the object where it has no compact form. */
export function writeRecord(record: DataRowRecord, form: RecordForm): string {
  const compact = form === 'object' ? undefined : encodeCompactRecord(record, form);
  return compact === undefined ? encodeDataRowRecord(record) : `"${compact}"`;
}

/** How many bytes a record's payload is in the clear: none where it is too short to open, lest it makes room for others. */
export function payloadBytes({ data }: DataRowRecord): number {
  return Math.max(0, data.length - SEAL_OVERHEAD_BYTES);
}
