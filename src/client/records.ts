import { membersOf, NUMBER, OBJECT, optional, STRING } from '../input/checks.ts';

/** A Data Row Record in Asherah's JSON format. Callers store it unchanged. */
export interface JsonRecord {
  readonly Key: {
    /** When the Data Row Key was created, in seconds since 1970. */
    readonly Created: number;
    /** The Data Row Key, sealed under the Intermediate Key, in base64. */
    readonly Key: string;
    readonly ParentKeyMeta: { readonly KeyId: string; readonly Created: number };
  };
  /** The proof that ties the record to its context, in base64. Absent if the record was encrypted without a context. */
  readonly Proof?: string;
  /** The sealed payload, in base64. */
  readonly Data: string;
}

/** A record in either format: the JSON object, or the compact string that docs/reference/formats.md describes. */
export type KeyfoldRecord = JsonRecord | string;

const RECORD = { Key: OBJECT, Proof: optional(STRING), Data: STRING };
const KEY = { Created: NUMBER, Key: STRING, ParentKeyMeta: OBJECT };
const KEY_META = { KeyId: STRING, Created: NUMBER };

/**
 * Copies the known members of a caller's record, and reads each of them once. Unknown members are not sent.
 * @param name the parameter's name, for the error
 * @throws TypeError that names the member if it has the wrong type
 */
export function checkedRecord(record: unknown, name: string): KeyfoldRecord {
  if (typeof record === 'string') return record;
  const { Key, Proof, Data } = membersOf<JsonRecord>(record, name, RECORD);
  const { ParentKeyMeta, ...key } = membersOf<JsonRecord['Key']>(Key, `${name}.Key`, KEY);
  const parent = membersOf<JsonRecord['Key']['ParentKeyMeta']>(ParentKeyMeta, `${name}.Key.ParentKeyMeta`, KEY_META);
  const sent = { ...key, ParentKeyMeta: parent };
  return Proof === undefined ? { Key: sent, Data } : { Key: sent, Proof, Data };
}

/** The requested format of new records: compact strings for `compact`, JSON objects for undefined. */
export type RecordFormat = 'compact' | undefined;

/** The type of a record in the requested format. */
export type RecordOf<Format extends RecordFormat> = Format extends 'compact' ? string : JsonRecord;

/** The type of a rewrapped record. It has the format of the given record, unless the caller requests `compact`. */
export type MovedRecordOf<Given extends KeyfoldRecord, Format extends RecordFormat> = Given extends string
  ? string
  : RecordOf<Format>;

/** The result of a rewrap. */
export interface Rewrapped<R extends KeyfoldRecord> {
  readonly record: R;
  /** False if the record was already under the latest key. */
  readonly rewrapped: boolean;
}
