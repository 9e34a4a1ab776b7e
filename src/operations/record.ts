import * as v from 'valibot';
import { SEAL_OVERHEAD_BYTES } from '../crypto/aead.ts';
import { decodeCompactRecord, encodeCompactRecord, looksCompact, type CompactKind } from '../records/compact-record.ts';
import { dataRowRecordFromValue, encodeDataRowRecord, type DataRowRecord } from '../records/data-row-record.ts';
import { KeyfoldError } from '../errors.ts';
import { BASE64 } from './operation.ts';

/** The member of a request that a record comes in: {@link readRecord} checks it, documents say {@link recordSchema} for it. */
export const recordEntry = v.unknown();

const seconds = v.pipe(v.number(), v.safeInteger(), v.description('In seconds since 1970.'));

/** A record as Asherah writes it. Members that are not here are ignored, and dropped by `rewrap`. */
export const dataRowRecordSchema = v.pipe(
  v.object({
    Key: v.pipe(
      v.object({
        Created: seconds,
        Key: v.pipe(v.string(), v.metadata({ ...BASE64, description: 'The Data Row Key, sealed.' })),
        ParentKeyMeta: v.pipe(
          v.object({ KeyId: v.string(), Created: seconds }),
          v.description("The partition's Intermediate Key that opens the Data Row Key."),
        ),
      }),
      v.description('A key of this record alone, and what opens it.'),
    ),
    Data: v.pipe(v.string(), v.metadata({ ...BASE64, description: 'The payload, sealed.' })),
  }),
  v.description("Asherah's Data Row Record. Members that are not known are ignored."),
);

/** A record as a string. */
export const compactRecordSchema = v.pipe(
  v.string(),
  v.regex(/^kf1j?\.[A-Za-z0-9_-]{138,}$/),
  v.description(
    'A record as a string: kf1. holds bytes, kf1j. the text of a JSON value; unpadded base64url behind it.',
  ),
);

/** What a record looks like from outside. */
export const recordSchema = v.pipe(
  v.union([dataRowRecordSchema, compactRecordSchema]),
  v.description('What to store, as it is. Wherever one is taken, both forms are.'),
);

/** The member of a request that asks for records in their compact form. */
export const formatEntry = v.optional(
  v.pipe(v.literal('compact'), v.description('Asks for the record as a string instead of an object.')),
);

/** The member of a request by which its records share a Data Row Key. */
export const sharingEntry = v.optional(
  v.pipe(
    v.boolean(),
    v.description(
      'Seals all under one Data Row Key, which is faster. Each record still opens by itself; whoever has that key in the clear can open all.',
    ),
  ),
);

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
  if (typeof value === 'object' && value !== null) return { record: dataRowRecordFromValue(value), form: 'object' };
  if (typeof value !== 'string' || !looksCompact(value)) {
    throw new KeyfoldError('InvalidRequest', 'record must be the JSON object or the compact string of a record.');
  }
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
