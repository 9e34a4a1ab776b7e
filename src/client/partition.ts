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
import type { KeyfoldRecord, MovedRecordOf, RecordFormat, RecordOf, Rewrapped } from './records.ts';
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

/** The operations on one partition's keys. Any of them throws {@link KeyfoldClientError}, or the reason of its signal. */
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
    { format, signal }: RecordOptions<Format> = {},
  ): Promise<RecordOf<Format>> {
    const answer = await this.#ask('encrypt', sealing(plaintext, format), signal);
    return recordReader<Format>(format)(answer);
  }

  /** Opens a record of this partition, in either form. The bytes are the caller's. */
  async decrypt(record: KeyfoldRecord, { signal }: CallOptions = {}): Promise<Uint8Array> {
    return readPlaintext(await this.#ask('decrypt', { record }, signal));
  }

  /** Moves a record under the partition's latest key; its payload is not touched. */
  async rewrap<Given extends KeyfoldRecord, Format extends RecordFormat = undefined>(
    record: Given,
    { format, signal }: RecordOptions<Format> = {},
  ): Promise<Rewrapped<MovedRecordOf<Given, Format>>> {
    const answer = await this.#ask('rewrap', formatted({ record }, format), signal);
    return movedReader<Given, Format>(record, format)(answer);
  }

  /**
   * Seals many payloads at once. A failure of one is in its place, and is not tried again. More than the service takes at once
   * (1,000 unless it is set up otherwise) are refused, not split.
   */
  async encryptBatch<Format extends RecordFormat = undefined>(
    plaintexts: readonly Uint8Array[],
    { format, shareDataRowKey, signal }: RecordOptions<Format> & SharingOptions = {},
  ): Promise<(RecordOf<Format> | KeyfoldClientError)[]> {
    const items = plaintexts.map((plaintext) => sealing(plaintext, format));
    const members = shareDataRowKey === undefined ? { items } : { items, shareDataRowKey };
    const answer = await this.#ask('encrypt-batch', members, signal);
    return readResults(items.map(() => recordReader<Format>(format)))(answer);
  }

  /** Opens many records at once; see {@link encryptBatch}. */
  async decryptBatch(
    records: readonly KeyfoldRecord[],
    { signal }: CallOptions = {},
  ): Promise<(Uint8Array | KeyfoldClientError)[]> {
    const answer = await this.#ask('decrypt-batch', { items: records.map((record) => ({ record })) }, signal);
    return readResults(records.map(() => readPlaintext))(answer);
  }

  /** Moves many records at once; see {@link encryptBatch}. */
  async rewrapBatch<Given extends KeyfoldRecord, Format extends RecordFormat = undefined>(
    records: readonly Given[],
    { format, signal }: RecordOptions<Format> = {},
  ): Promise<(Rewrapped<MovedRecordOf<Given, Format>> | KeyfoldClientError)[]> {
    const items = records.map((record) => formatted({ record }, format));
    const answer = await this.#ask('rewrap-batch', { items }, signal);
    return readResults(records.map((record) => movedReader<Given, Format>(record, format)))(answer);
  }

  /**
   * Seals values of a document, each in its place.
   * @returns the document in the form in which it was given: a value, or its JSON text
   */
  async encryptFields<Given extends GivenDocument>(
    request: Given & FieldsToEncrypt,
    { signal }: CallOptions = {},
  ): Promise<Given extends { readonly documentText: string } ? string : unknown> {
    return this.#askOfDocument('encrypt-fields', request, signal);
  }

  /**
   * Opens sealed values of a document, each in its place.
   * @returns as {@link encryptFields}
   * @throws KeyfoldTransportError `InexactNumber` where JavaScript cannot hold a number that was sealed from a text
   */
  async decryptFields<Given extends GivenDocument>(
    request: Given & FieldsToDecrypt,
    { signal }: CallOptions = {},
  ): Promise<Given extends { readonly documentText: string } ? string : unknown> {
    return this.#askOfDocument('decrypt-fields', request, signal);
  }

  async #askOfDocument(
    operation: 'encrypt-fields' | 'decrypt-fields',
    request: GivenDocument,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { document: _, ...members } = request;
    const answer = await this.#ask(operation, { ...members, documentText: documentTextOf(request) }, signal);
    const text = readDocumentText(answer);
    // The methods' types say which of the two it is.
    return request.documentText === undefined ? (documentOf(text, answer.requestId) as string) : text;
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

function sealing(plaintext: Uint8Array, format: RecordFormat): ClientCall['members'] {
  const bytes = Buffer.from(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
  return formatted({ plaintext: bytes.toString('base64') }, format);
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
