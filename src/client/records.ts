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
