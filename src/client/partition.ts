import { itemsOf, optionsOf } from '../input/checks.ts';
import {
  readCompactRecord,
  readDocumentText,
  readJsonRecord,
  readPlaintext,
  readResults,
  readRewrapped,
} from './answers.ts';
import type { Reader } from './answers.ts';
import {
  DECRYPT_FIELDS,
  ENCRYPT_FIELDS,
  lossless,
  requestMembers,
  type DocumentOf,
  type FieldRequest,
  type FieldsToDecrypt,
  type FieldsToEncrypt,
  type GivenDocument,
  type SharingOptions,
} from '../operations/fields-request.ts';
import {
  BATCH_OPTIONS,
  CALL_OPTIONS,
  DECRYPT_OPTIONS,
  ENCRYPT_OPTIONS,
  isItem,
  PLAINTEXT_ITEM,
  plaintextMembers,
  RECORD_ITEM,
  RECORD_OPTIONS,
  recordMembers,
  withContext,
  withFormat,
  type CallOptions,
  type ContextOptions,
  type DecryptOptions,
  type PlaintextItem,
  type RecordItem,
  type RecordOptions,
} from './call-options.ts';
import { documentOf } from './documents.ts';
import { jsonOf } from './json.ts';
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

/**
 * The operations on one partition's keys. `KeyfoldClient.partition` makes a `PartitionClient`.
 *
 * Every operation throws a {@link KeyfoldClientError} if it fails, and the signal's reason if the signal aborts. If a
 * parameter or an option has the wrong type, the operation sends no request and throws a TypeError that names it.
 * @example
 * const partition = keyfold.partition('tenant-42');
 * const record = await partition.encrypt(Buffer.from('secret'));
 * const plaintext = await partition.decrypt(record);
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

  /**
   * Encrypts a payload. Returns a record, which the caller stores.
   * @example
   * const context = { table: 'users', id: '42', column: 'email' };
   * const record = await partition.encrypt(Buffer.from('ada@example.com'), { context });
   * const payload = await partition.decrypt(record, { context });
   */
  async encrypt<Format extends RecordFormat = undefined>(
    plaintext: Uint8Array,
    options: RecordOptions<Format> & ContextOptions = {},
  ): Promise<RecordOf<Format>> {
    const { format, context, signal } = optionsOf(options, 'options', ENCRYPT_OPTIONS);
    const members = withContext(plaintextMembers(plaintext, 'plaintext', format), context, 'options');
    const answer = await this.#send('encrypt', members, signal);
    return recordReader<Format>(format)(answer);
  }

  /**
   * Decrypts a record of this partition in either format. The caller owns the returned bytes.
   * @throws KeyfoldServiceError `ContextRequired` for a record that is bound to a context, if `options` has none
   */
  async decrypt(record: KeyfoldRecord, options: DecryptOptions = {}): Promise<Uint8Array> {
    const given = checkedRecord(record, 'record');
    const { context, path, signal } = optionsOf(options, 'options', DECRYPT_OPTIONS);
    return readPlaintext(
      await this.#send('decrypt', recordMembers({ record: given, context, path }, 'options'), signal),
    );
  }

  /** Rewraps a record under the partition's latest key. The sealed payload stays the same. */
  async rewrap<Given extends KeyfoldRecord, Format extends RecordFormat = undefined>(
    record: Given,
    options: RecordOptions<Format> = {},
  ): Promise<Rewrapped<MovedRecordOf<Given, Format>>> {
    const given = checkedRecord(record, 'record');
    const { format, signal } = optionsOf(options, 'options', RECORD_OPTIONS);
    const answer = await this.#send('rewrap', withFormat({ record: given }, format), signal);
    return rewrappedReader<Given, Format>(given, format)(answer);
  }

  /**
   * Encrypts several payloads in one request. If an item fails, its result is its error, and the client does not retry
   * the item. The service rejects a batch that exceeds its limit (by default 1,000 items). The client does not split
   * the batch.
   * @param plaintexts payloads, or objects that contain a payload and its context
   * @returns one record or error per payload, in the same order
   */
  async encryptBatch<Format extends RecordFormat = undefined>(
    plaintexts: readonly (Uint8Array | PlaintextItem)[],
    options: RecordOptions<Format> & SharingOptions = {},
  ): Promise<(RecordOf<Format> | KeyfoldClientError)[]> {
    const { format, shareDataRowKey, signal } = optionsOf(options, 'options', BATCH_OPTIONS);
    const items = itemsOf(plaintexts, 'plaintexts', (item, name) => {
      if (!isItem(item, 'plaintext')) return plaintextMembers(item, name, format);
      const { plaintext, context } = optionsOf<PlaintextItem>(item, name, PLAINTEXT_ITEM);
      return withContext(plaintextMembers(plaintext, `${name}.plaintext`, format), context, name);
    });
    const members = shareDataRowKey === undefined ? { items } : { items, shareDataRowKey };
    const answer = await this.#send('encrypt-batch', members, signal);
    return readResults(items.map(() => recordReader<Format>(format)))(answer);
  }

  /** Decrypts several records in one request. Failed items are handled as in {@link encryptBatch}. */
  async decryptBatch(
    records: readonly (KeyfoldRecord | RecordItem)[],
    options: CallOptions = {},
  ): Promise<(Uint8Array | KeyfoldClientError)[]> {
    const { signal } = optionsOf(options, 'options', CALL_OPTIONS);
    const items = itemsOf(records, 'records', (item, name) => {
      if (!isItem(item, 'record')) return { record: checkedRecord(item, name) };
      const { record, ...place } = optionsOf<RecordItem>(item, name, RECORD_ITEM);
      return recordMembers({ record: checkedRecord(record, `${name}.record`), ...place }, name);
    });
    const answer = await this.#send('decrypt-batch', { items }, signal);
    return readResults(items.map(() => readPlaintext))(answer);
  }

  /** Rewraps several records in one request. Failed items are handled as in {@link encryptBatch}. */
  async rewrapBatch<Given extends KeyfoldRecord, Format extends RecordFormat = undefined>(
    records: readonly Given[],
    options: RecordOptions<Format> = {},
  ): Promise<(Rewrapped<MovedRecordOf<Given, Format>> | KeyfoldClientError)[]> {
    const { format, signal } = optionsOf(options, 'options', RECORD_OPTIONS);
    const given = itemsOf(records, 'records', checkedRecord);
    const items = given.map((record) => withFormat({ record }, format));
    const answer = await this.#send('rewrap-batch', { items }, signal);
    return readResults(given.map((record) => rewrappedReader<Given, Format>(record, format)))(answer);
  }

  /**
   * Encrypts values of a document and replaces each with its compact record.
   * @returns a JavaScript value if `document` was given, JSON text if `documentText` was given
   */
  async encryptFields<Given extends GivenDocument>(
    request: Given & FieldsToEncrypt,
    options: CallOptions = {},
  ): Promise<DocumentOf<Given>> {
    return this.#sendDocument('encrypt-fields', optionsOf(request, 'request', ENCRYPT_FIELDS), options);
  }

  /**
   * Decrypts values of a document and replaces each compact record with its value.
   * @returns a JavaScript value if `document` was given, JSON text if `documentText` was given
   * @throws KeyfoldTransportError `InexactNumber` if a decrypted number is too large for JavaScript to represent
   * exactly
   */
  async decryptFields<Given extends GivenDocument>(
    request: Given & FieldsToDecrypt,
    options: CallOptions = {},
  ): Promise<DocumentOf<Given>> {
    return this.#sendDocument('decrypt-fields', optionsOf(request, 'request', DECRYPT_FIELDS), options);
  }

  async #sendDocument(
    operation: 'encrypt-fields' | 'decrypt-fields',
    request: FieldRequest,
    options: CallOptions,
  ): Promise<never> {
    const { signal } = optionsOf(options, 'options', CALL_OPTIONS);
    const sent = requestMembers(request, (document) => jsonOf(document, 'request.document', lossless));
    const answer = await this.#send(operation, sent, signal);
    const text = readDocumentText(answer);
    // A request has either `document` or `documentText`, and the return types of the public methods depend on which.
    return request.documentText === undefined ? (documentOf(text, answer.requestId) as never) : (text as never);
  }

  #send(
    operation: ClientCall['operation'],
    members: ClientCall['members'],
    signal: AbortSignal | undefined,
  ): Promise<ClientAnswer> {
    const call = { partition: this.partition, operation, members };
    return withRetries(this.#retry, signal, (attempt) => this.#transport.send(call, attempt));
  }
}

function recordReader<Format extends RecordFormat>(format: RecordFormat): Reader<RecordOf<Format>> {
  return (format === undefined ? readJsonRecord : readCompactRecord) as Reader<RecordOf<Format>>;
}

function rewrappedReader<Given extends KeyfoldRecord, Format extends RecordFormat>(
  given: KeyfoldRecord,
  format: RecordFormat,
): Reader<Rewrapped<MovedRecordOf<Given, Format>>> {
  const read: Reader<KeyfoldRecord> =
    typeof given === 'string' || format !== undefined ? readCompactRecord : readJsonRecord;
  return readRewrapped(read) as Reader<Rewrapped<MovedRecordOf<Given, Format>>>;
}
