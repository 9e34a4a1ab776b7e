import { decodeBase64 } from '../crypto/base64.ts';
import { isJsonObject, type JsonObject } from '../input/json-object.ts';
import { KeyfoldTransportError, serviceError, type KeyfoldClientError } from './errors.ts';
import type { JsonRecord, KeyfoldRecord } from './records.ts';
import type { ClientAnswer } from './transport.ts';

/** Reads one kind of response, or throws `UnexpectedAnswer`. */
export type Reader<T> = (answer: ClientAnswer) => T;

/**
 * Reads the bytes of a decrypted payload.
 *
 * Every reader in this file checks the whole response, because the response may come from a proxy instead of Keyfold. A
 * caller who stored a malformed record would notice it only when decryption fails.
 */
export const readPlaintext: Reader<Uint8Array> = (answer) => {
  const { plaintext } = membersOf(answer.value, answer);
  const bytes = typeof plaintext === 'string' ? decodeBase64(plaintext) : undefined;
  if (bytes === undefined) throw unexpected('a plaintext', answer);
  // Copy the bytes: a Node Buffer may share its memory with other buffers.
  return new Uint8Array(bytes);
};

/** Reads a Data Row Record as a JSON object. */
export const readJsonRecord: Reader<JsonRecord> = (answer) => {
  const { record } = membersOf(answer.value, answer);
  return jsonRecord(record, answer);
};

/** Reads a record in its compact form: a string that begins with `kf1.`, `kf1j.`, `kf2.` or `kf2j.`. */
export const readCompactRecord: Reader<string> = (answer) => {
  const { record } = membersOf(answer.value, answer);
  if (typeof record === 'string' && /^kf[12]j?\.[A-Za-z0-9_-]+$/.test(record)) return record;
  throw unexpected('a compact record', answer);
};

/**
 * Makes a reader for the response to a rewrap.
 * @param read reads the record inside the response
 */
export function readRewrapped<R extends KeyfoldRecord>(
  read: Reader<R>,
): Reader<{ readonly record: R; readonly rewrapped: boolean }> {
  return (answer) => {
    const { rewrapped } = membersOf(answer.value, answer);
    if (typeof rewrapped !== 'boolean') throw unexpected('a boolean named rewrapped', answer);
    return { record: read(answer), rewrapped };
  };
}

/**
 * Makes a reader for the results of a batch, in the order of the items. The result of a failed item is its error.
 * @param readers one reader per item
 */
export function readResults<T>(readers: readonly Reader<T>[]): Reader<(T | KeyfoldClientError)[]> {
  return (answer) => {
    const { results } = membersOf(answer.value, answer);
    if (!Array.isArray(results) || results.length !== readers.length) {
      throw unexpected('a result for each item', answer);
    }
    return readers.map((read, i) => readResult(read, { value: results[i] as unknown, requestId: answer.requestId }));
  };
}

/** Reads the JSON text of a document. */
export const readDocumentText: Reader<string> = (answer) => {
  const { documentText } = membersOf(answer.value, answer);
  if (typeof documentText === 'string') return documentText;
  throw unexpected('a document', answer);
};

function readResult<T>(read: Reader<T>, answer: ClientAnswer): T | KeyfoldClientError {
  const { error } = membersOf(answer.value, answer);
  if (error === undefined) return read(answer);
  const { code, detail } = membersOf(error, answer);
  const { requestId } = answer;
  return serviceError(code, detail, { requestId }) ?? unexpected('an error code that this version knows', answer);
}

function jsonRecord(value: unknown, answer: ClientAnswer): JsonRecord {
  const { Key, Proof, Data } = membersOf(value, answer);
  const key = membersOf(Key, answer);
  const parent = membersOf(key['ParentKeyMeta'], answer);
  return {
    Key: {
      Created: seconds(key['Created'], answer),
      Key: base64(key['Key'], answer),
      ParentKeyMeta: { KeyId: text(parent['KeyId'], answer), Created: seconds(parent['Created'], answer) },
    },
    ...(Proof !== undefined && { Proof: base64(Proof, answer) }),
    Data: base64(Data, answer),
  };
}

function membersOf(value: unknown, answer: ClientAnswer): JsonObject {
  if (isJsonObject(value)) return value;
  throw unexpected('an object', answer);
}

function seconds(value: unknown, answer: ClientAnswer): number {
  if (Number.isSafeInteger(value)) return value as number;
  throw unexpected('a record', answer);
}

function text(value: unknown, answer: ClientAnswer): string {
  if (typeof value === 'string') return value;
  throw unexpected('a record', answer);
}

function base64(value: unknown, answer: ClientAnswer): string {
  if (typeof value === 'string' && decodeBase64(value) !== undefined) return value;
  throw unexpected('a record', answer);
}

function unexpected(what: string, { requestId }: ClientAnswer): KeyfoldTransportError {
  return new KeyfoldTransportError('UnexpectedAnswer', `The answer does not hold ${what}.`, { requestId });
}
