import {
  ABORT_SIGNAL,
  ANYTHING,
  ARRAY,
  BOOLEAN,
  BYTES,
  check,
  checked,
  itemsOf,
  optional,
  optionsOf,
  STRING,
  viewOf,
  type Types,
} from '../input/checks.ts';
import {
  readCompactRecord,
  readDocumentText,
  readJsonRecord,
  readPlaintext,
  readResults,
  readRewrapped,
} from './answers.ts';
import type { Reader } from './answers.ts';
import { documentOf, documentTextOf, type GivenDocument } from './documents.ts';
import type { KeyfoldClientError } from './errors.ts';
import {
  checkedRecord,
  type KeyfoldRecord,
  type MovedRecordOf,
  type RecordFormat,
  type RecordOf,
  type Rewrapped,
} from './records.ts';
import { withRetries, type RetryPolicy } from './retry.ts';
import type { ClientAnswer, ClientCall, Transport } from './transport.ts';

/** How a call is made. */
export interface CallOptions {
  /** Ends the call, its retries too; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** How a call that makes records is made. */
export interface RecordOptions<Format extends RecordFormat> extends CallOptions {
  readonly format?: Format;
}

/** How records that are made together may be made. */
export interface SharingOptions {
  /** Seals all under one Data Row Key: faster, and whoever has that key in the clear can open them all. */
  readonly shareDataRowKey?: boolean;
}

/** Which values of a document are meant: JSONPaths, as docs/fields.md describes them. */
export interface FieldSelection {
  readonly fields: readonly string[];
  /** Lets a path select nothing. */
  readonly allowMissing?: boolean;
}

/** What is to be sealed of a document. */
export type FieldsToEncrypt = FieldSelection &
  SharingOptions & {
    /** Leaves a value alone that is a compact record and really opens under this partition. */
    readonly skipSealed?: boolean;
  };

/** What is to be opened of a document: some values, or every compact record in it. */
export type FieldsToDecrypt = FieldSelection | { readonly all: true };

/** What is asked of a document. */
interface FieldRequest {
  readonly document: unknown;
  readonly documentText?: string;
  readonly fields?: readonly string[];
  readonly allowMissing?: boolean;
}

const CALL_OPTIONS: Types<CallOptions> = { signal: optional(ABORT_SIGNAL) };
const RECORD_OPTIONS: Types<RecordOptions<RecordFormat>> = { ...CALL_OPTIONS, format: optional(STRING) };
const BATCH_OPTIONS: Types<RecordOptions<RecordFormat> & SharingOptions> = {
  ...RECORD_OPTIONS,
  shareDataRowKey: optional(BOOLEAN),
};
/** Of both operations on fields; {@link FieldRequest} is what their types have in common. */
const DOCUMENT_OPTIONS: Types<Omit<FieldRequest, 'fields'>> = {
  document: ANYTHING,
  documentText: optional(STRING),
  allowMissing: optional(BOOLEAN),
};
const ENCRYPT_FIELDS: Types<FieldRequest & FieldsToEncrypt> = {
  ...DOCUMENT_OPTIONS,
  fields: ARRAY,
  skipSealed: optional(BOOLEAN),
  shareDataRowKey: optional(BOOLEAN),
};
const DECRYPT_FIELDS: Types<FieldRequest & { readonly all?: boolean }> = {
  ...DOCUMENT_OPTIONS,
  fields: optional(ARRAY),
  all: optional(BOOLEAN),
};

/**
 * The operations on one partition's keys. Any of them throws {@link KeyfoldClientError}, the reason of its signal, or before
 * anything is sent a TypeError that names the parameter or the option of a wrong type.
 */
export class PartitionClient {
  readonly partition: string;
  readonly #transport: Transport;
  readonly #retry: RetryPolicy;

  constructor(partition: string, transport: Transport, retry: RetryPolicy) {
    this.partition = partition;
    this.#transport = transport;
    this.#retry = retry;
  }

  /** Seals a payload into a record, which the caller stores. */
  async encrypt<Format extends RecordFormat = undefined>(
    plaintext: Uint8Array,
    options: RecordOptions<Format> = {},
  ): Promise<RecordOf<Format>> {
    const { format, signal } = optionsOf(options, 'options', RECORD_OPTIONS);
    const answer = await this.#ask('encrypt', sealing(plaintext, 'plaintext', format), signal);
    return recordReader<Format>(format)(answer);
  }

  /** Opens a record of this partition, in either form. The bytes are the caller's. */
  async decrypt(record: KeyfoldRecord, options: CallOptions = {}): Promise<Uint8Array> {
    const given = checkedRecord(record, 'record');
    const { signal } = optionsOf(options, 'options', CALL_OPTIONS);
    return readPlaintext(await this.#ask('decrypt', { record: given }, signal));
  }

  /** Moves a record under the partition's latest key; its payload is not touched. */
  async rewrap<Given extends KeyfoldRecord, Format extends RecordFormat = undefined>(
    record: Given,
    options: RecordOptions<Format> = {},
  ): Promise<Rewrapped<MovedRecordOf<Given, Format>>> {
    const given = checkedRecord(record, 'record');
    const { format, signal } = optionsOf(options, 'options', RECORD_OPTIONS);
    const answer = await this.#ask('rewrap', formatted({ record: given }, format), signal);
    return movedReader<Given, Format>(given, format)(answer);
  }

  /**
   * Seals many payloads at once. A failure of one is in its place, and is not tried again. More than the service takes at once
   * (1,000 unless it is set up otherwise) are refused, not split.
   */
  async encryptBatch<Format extends RecordFormat = undefined>(
    plaintexts: readonly Uint8Array[],
    options: RecordOptions<Format> & SharingOptions = {},
  ): Promise<(RecordOf<Format> | KeyfoldClientError)[]> {
    const { format, shareDataRowKey, signal } = optionsOf(options, 'options', BATCH_OPTIONS);
    const items = itemsOf(plaintexts, 'plaintexts', (plaintext, name) => sealing(plaintext, name, format));
    const members = shareDataRowKey === undefined ? { items } : { items, shareDataRowKey };
    const answer = await this.#ask('encrypt-batch', members, signal);
    return readResults(items.map(() => recordReader<Format>(format)))(answer);
  }

  /** Opens many records at once; see {@link encryptBatch}. */
  async decryptBatch(
    records: readonly KeyfoldRecord[],
    options: CallOptions = {},
  ): Promise<(Uint8Array | KeyfoldClientError)[]> {
    const { signal } = optionsOf(options, 'options', CALL_OPTIONS);
    const items = itemsOf(records, 'records', (record, name) => ({ record: checkedRecord(record, name) }));
    const answer = await this.#ask('decrypt-batch', { items }, signal);
    return readResults(items.map(() => readPlaintext))(answer);
  }

  /** Moves many records at once; see {@link encryptBatch}. */
  async rewrapBatch<Given extends KeyfoldRecord, Format extends RecordFormat = undefined>(
    records: readonly Given[],
    options: RecordOptions<Format> = {},
  ): Promise<(Rewrapped<MovedRecordOf<Given, Format>> | KeyfoldClientError)[]> {
    const { format, signal } = optionsOf(options, 'options', RECORD_OPTIONS);
    const given = itemsOf(records, 'records', checkedRecord);
    const items = given.map((record) => formatted({ record }, format));
    const answer = await this.#ask('rewrap-batch', { items }, signal);
    return readResults(given.map((record) => movedReader<Given, Format>(record, format)))(answer);
  }

  /**
   * Seals values of a document, each in its place.
   * @returns the document in the form in which it was given: a value, or its JSON text
   */
  async encryptFields<Given extends GivenDocument>(
    request: Given & FieldsToEncrypt,
    options: CallOptions = {},
  ): Promise<Given extends { readonly documentText: string } ? string : unknown> {
    return this.#askOfDocument('encrypt-fields', optionsOf(request, 'request', ENCRYPT_FIELDS), options);
  }

  /**
   * Opens sealed values of a document, each in its place.
   * @returns as {@link encryptFields}
   * @throws KeyfoldTransportError `InexactNumber` where JavaScript cannot hold a number that was sealed from a text
   */
  async decryptFields<Given extends GivenDocument>(
    request: Given & FieldsToDecrypt,
    options: CallOptions = {},
  ): Promise<Given extends { readonly documentText: string } ? string : unknown> {
    return this.#askOfDocument('decrypt-fields', optionsOf(request, 'request', DECRYPT_FIELDS), options);
  }

  async #askOfDocument(
    operation: 'encrypt-fields' | 'decrypt-fields',
    { document, documentText, fields, ...members }: FieldRequest,
    options: CallOptions,
  ): Promise<string> {
    const { signal } = optionsOf(options, 'options', CALL_OPTIONS);
    const sent = {
      ...members,
      ...(fields !== undefined && { fields: itemsOf(fields, 'request.fields', checked(STRING)) }),
      documentText: documentTextOf({ document, documentText } as GivenDocument),
    };
    const answer = await this.#ask(operation, sent, signal);
    const text = readDocumentText(answer);
    // The methods' types say which of the two it is.
    return documentText === undefined ? (documentOf(text, answer.requestId) as string) : text;
  }

  #ask(
    operation: ClientCall['operation'],
    members: ClientCall['members'],
    signal: AbortSignal | undefined,
  ): Promise<ClientAnswer> {
    const call = { partition: this.partition, operation, members };
    return withRetries(this.#retry, signal, (attempt) => this.#transport.send(call, attempt));
  }
}

function sealing(plaintext: unknown, name: string, format: RecordFormat): ClientCall['members'] {
  check(plaintext, name, BYTES);
  return formatted({ plaintext: viewOf(plaintext as Uint8Array).toString('base64') }, format);
}

function formatted(members: ClientCall['members'], format: RecordFormat): ClientCall['members'] {
  return format === undefined ? members : { ...members, format };
}

function recordReader<Format extends RecordFormat>(format: RecordFormat): Reader<RecordOf<Format>> {
  return (format === undefined ? readJsonRecord : readCompactRecord) as Reader<RecordOf<Format>>;
}

function movedReader<Given extends KeyfoldRecord, Format extends RecordFormat>(
  given: KeyfoldRecord,
  format: RecordFormat,
): Reader<Rewrapped<MovedRecordOf<Given, Format>>> {
  const read: Reader<KeyfoldRecord> =
    typeof given === 'string' || format !== undefined ? readCompactRecord : readJsonRecord;
  return readRewrapped(read) as Reader<Rewrapped<MovedRecordOf<Given, Format>>>;
}
