import { membersOf, NUMBER, OBJECT, STRING } from '../input/checks.ts';

/** A Data Row Record as Asherah's JSON has it: to be stored as it is. */
export interface JsonRecord {
  readonly Key: {
    /** In seconds since 1970. */
    readonly Created: number;
    /** In base64. */
    readonly Key: string;
    readonly ParentKeyMeta: { readonly KeyId: string; readonly Created: number };
  };
  /** In base64. */
  readonly Data: string;
}

/** A record in either form: the JSON object, or the compact string of docs/compact-record.md. */
export type KeyfoldRecord = JsonRecord | string;

const RECORD = { Key: OBJECT, Data: STRING };
const KEY = { Created: NUMBER, Key: STRING, ParentKeyMeta: OBJECT };
const KEY_META = { KeyId: STRING, Created: NUMBER };

/**
 * A record as it is sent: the members that a record has, each read once.
 * @throws TypeError naming the member that is not of a record's type
 */
export function checkedRecord(record: unknown, name: string): KeyfoldRecord {
  if (typeof record === 'string') return record;
  const { Key, Data } = membersOf<JsonRecord>(record, name, RECORD);
  const { ParentKeyMeta, ...key } = membersOf<JsonRecord['Key']>(Key, `${name}.Key`, KEY);
  const parent = membersOf<JsonRecord['Key']['ParentKeyMeta']>(ParentKeyMeta, `${name}.Key.ParentKeyMeta`, KEY_META);
  return { Key: { ...key, ParentKeyMeta: parent }, Data };
}

/** The form of a new record: the JSON object, unless `compact` is asked for. */
export type RecordFormat = 'compact' | undefined;

/** A record of the form that was asked for. */
export type RecordOf<Format extends RecordFormat> = Format extends 'compact' ? string : JsonRecord;

/** A record that was moved keeps its form, unless `compact` is asked for. */
export type MovedRecordOf<Given extends KeyfoldRecord, Format extends RecordFormat> = Given extends string
  ? string
  : RecordOf<Format>;

/** What a rewrap has come to. */
export interface Rewrapped<R extends KeyfoldRecord> {
  readonly record: R;
  /** False where the record was under the latest key already. */
  readonly rewrapped: boolean;
}
