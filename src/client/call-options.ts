/** The options of the client's calls, and the request members that come from them. */
import {
  ABORT_SIGNAL,
  ANYTHING,
  BOOLEAN,
  BYTES,
  check,
  isOf,
  OBJECT,
  optional,
  recordOf,
  STRING,
  viewOf,
  type Types,
} from '../input/checks.ts';
import type { SharingOptions } from '../operations/fields-request.ts';
import type { RecordContext } from '../records/record-proof.ts';
import type { KeyfoldRecord, RecordFormat } from './records.ts';
import type { ClientCall } from './transport.ts';

/** Options of every call. */
export interface CallOptions {
  /** If the signal aborts, the call ends without further retries, and throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The option that binds a record to a context. */
export interface ContextOptions {
  /**
   * Says where the record is stored, such as `{ table: 'users', id: '42' }`. A record that was encrypted with a context
   * decrypts only with the same context. Keyfold neither stores nor logs the context.
   */
  readonly context?: RecordContext | undefined;
}

/** Options of `decrypt`. */
export interface DecryptOptions extends CallOptions, ContextOptions {
  /**
   * The path of a field in its document, such as `$['items'][*]['ssn']`. Only the compact record of a field needs it.
   */
  readonly path?: string | undefined;
}

/** A payload in a batch, with its own context. */
export interface PlaintextItem extends ContextOptions {
  readonly plaintext: Uint8Array;
}

/** A record in a batch, with its own context. */
export interface RecordItem extends ContextOptions {
  readonly record: KeyfoldRecord;
  readonly path?: string | undefined;
}

/** Options of a call that returns records. */
export interface RecordOptions<Format extends RecordFormat> extends CallOptions {
  /** With `compact`, records are compact strings. By default they are JSON objects. */
  readonly format?: Format;
}

export const CALL_OPTIONS: Types<CallOptions> = { signal: optional(ABORT_SIGNAL) };
const CONTEXT = optional(OBJECT);
export const RECORD_OPTIONS: Types<RecordOptions<RecordFormat>> = { ...CALL_OPTIONS, format: optional(STRING) };
export const ENCRYPT_OPTIONS: Types<RecordOptions<RecordFormat> & ContextOptions> = {
  ...RECORD_OPTIONS,
  context: CONTEXT,
};
export const DECRYPT_OPTIONS: Types<DecryptOptions> = { ...CALL_OPTIONS, context: CONTEXT, path: optional(STRING) };
export const PLAINTEXT_ITEM: Types<PlaintextItem> = { plaintext: BYTES, context: CONTEXT };
export const RECORD_ITEM: Types<RecordItem> = { record: ANYTHING, context: CONTEXT, path: optional(STRING) };
export const BATCH_OPTIONS: Types<RecordOptions<RecordFormat> & SharingOptions> = {
  ...RECORD_OPTIONS,
  shareDataRowKey: optional(BOOLEAN),
};

export function plaintextMembers(plaintext: unknown, name: string, format: RecordFormat): ClientCall['members'] {
  check(plaintext, name, BYTES);
  return withFormat({ plaintext: viewOf(plaintext as Uint8Array).toString('base64') }, format);
}

/** Whether an item of a batch is an object with the given member, and not a payload or a record itself. */
export function isItem(item: unknown, member: string): boolean {
  return isOf(OBJECT, item, 'item') && Object.hasOwn(item as object, member);
}

/** @throws TypeError if a value of the context is not a string */
export function withContext(
  members: ClientCall['members'],
  context: RecordContext | undefined,
  name: string,
): ClientCall['members'] {
  return context === undefined
    ? members
    : { ...members, context: recordOf<string>(context, `${name}.context`, STRING) };
}

export function recordMembers({ record, context, path }: RecordItem, name: string): ClientCall['members'] {
  return withContext(path === undefined ? { record } : { record, path }, context, name);
}

export function withFormat(members: ClientCall['members'], format: RecordFormat): ClientCall['members'] {
  return format === undefined ? members : { ...members, format };
}
