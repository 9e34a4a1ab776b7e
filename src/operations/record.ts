import * as v from 'valibot';
import { SEAL_OVERHEAD_BYTES } from '../crypto/aead.ts';
import { decodeCompactRecord, encodeCompactRecord, looksCompact, type CompactKind } from '../records/compact-record.ts';
import { dataRowRecordFromValue, encodeDataRowRecord, type DataRowRecord } from '../records/data-row-record.ts';
import { KeyfoldError } from '../errors.ts';
import { BASE64 } from './operation.ts';

/**
 * The schema of `record` in a request. {@link readRecord} checks the value, and OpenAPI shows {@link recordSchema}
 * instead.
 */
export const recordEntry = v.unknown();

const seconds = v.pipe(v.number(), v.safeInteger(), v.description('In seconds since 1970.'));

/** Asherah's name for a key: its ID and its creation time. */
export const keyMetaSchema = v.pipe(
  v.object({ KeyId: v.string(), Created: seconds }),
  v.description("The partition's Intermediate Key, which decrypts the Data Row Key."),
);

/** The encrypted Data Row Key of a record. */
export const envelopeKeySchema = v.pipe(
  v.object({
    Created: seconds,
    Key: v.pipe(v.string(), v.metadata({ ...BASE64, description: 'The Data Row Key, encrypted, in base64.' })),
    ParentKeyMeta: keyMetaSchema,
  }),
  v.description('The encrypted Data Row Key, and the Intermediate Key that decrypts it.'),
);

/** Asherah's Data Row Record. Unknown members are ignored, and `rewrap` drops them. */
export const dataRowRecordSchema = v.pipe(
  v.object({
    Key: envelopeKeySchema,
    Proof: v.optional(
      v.pipe(
        v.string(),
        v.metadata({
          ...BASE64,
          // 32 bytes
          pattern: '^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$',
          description: 'Ties the record to its context: 32 bytes in base64. Asherah ignores it.',
        }),
      ),
    ),
    Data: v.pipe(v.string(), v.metadata({ ...BASE64, description: 'The payload, encrypted, in base64.' })),
  }),
  v.description("Asherah's Data Row Record. Unknown members are ignored."),
);

/**
 * A compact record. The shortest one has an ID of one byte and an empty payload. It has 103 bytes, or 135 with a proof.
 */
export const compactRecordSchema = v.pipe(
  v.string(),
  v.regex(/^kf(?:1j?\.[A-Za-z0-9_-]{138,}|2j?\.[A-Za-z0-9_-]{180,})$/),
  v.description(
    'A record as a string: the prefix kf1. for bytes or kf1j. for the text of a JSON value, then unpadded base64url. A record with a proof has kf2. or kf2j.',
  ),
);

/** A record in either of its forms. */
export const recordSchema = v.pipe(
  v.union([dataRowRecordSchema, compactRecordSchema]),
  v.description('The record. Store it unchanged. Every operation accepts both forms.'),
);

/** The schema of `format`. */
export const formatEntry = v.optional(
  v.pipe(v.literal('compact'), v.description('Returns the record as a string instead of an object.')),
);

/** The schema of `shareDataRowKey`. */
export const sharingEntry = v.optional(
  v.pipe(
    v.boolean(),
    v.description(
      'Encrypts all records under one Data Row Key, which is faster. Each record still decrypts by itself. The plaintext key would decrypt all of them.',
    ),
  ),
);

/** The form of a record: Asherah's JSON object, or one of the two compact strings. */
export type GivenForm = 'object' | CompactKind;

/** A record from a request, and its form in the request. */
export interface GivenRecord {
  readonly record: DataRowRecord;
  readonly form: GivenForm;
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

/** Writes a record as JSON text. A record that has no compact form is always written as a JSON object. */
export function writeRecord(record: DataRowRecord, form: GivenForm): string {
  const compact = form === 'object' ? undefined : encodeCompactRecord(record, form);
  return compact === undefined ? encodeDataRowRecord(record) : `"${compact}"`;
}

/**
 * The size of a record's plaintext in bytes. Zero if the record is too short to decrypt, because a negative size would
 * increase the limit for other records.
 */
export function payloadBytes({ data }: DataRowRecord): number {
  return Math.max(0, data.length - SEAL_OVERHEAD_BYTES);
}
