import { decodeBase64 } from '../crypto/base64.ts';
import {
  ARRAY,
  byteLengthOf,
  BYTES,
  check,
  isOf,
  NUMBER,
  OBJECT,
  optional,
  read,
  STRING,
  viewOf,
} from '../input/checks.ts';
import { KeyfoldError } from '../errors.ts';
import { PROOF_BYTES } from './record-proof.ts';
import { cutPayload } from './fast-paths.ts';

/**
 * A sealed payload and its sealed Data Row Key, as callers store them. Until a record has been opened, do not trust its
 * members, because an attacker could have written them.
 */
export interface DataRowRecord {
  readonly key: {
    /** When the Data Row Key was made, in seconds since 1970. */
    readonly created: number;
    /** The Data Row Key, sealed by the Intermediate Key that `parent` names. */
    readonly encryptedKey: Uint8Array;
    readonly parent: { readonly id: string; readonly created: number };
  };
  /**
   * Binds the record to its place. Only a caller who passes the same context can open the record. Absent if the record
   * was sealed without a context.
   */
  readonly proof?: Uint8Array | undefined;
  /** The payload, sealed by the Data Row Key. */
  readonly data: Uint8Array;
}

/**
 * Writes a record as JSON text, in Asherah's form.
 * @throws TypeError for a member of the wrong type
 * @throws KeyfoldError `InvalidRequest` for a time that is not a whole number, because {@link decodeDataRowRecord}
 * would refuse it
 */
export function encodeDataRowRecord(record: DataRowRecord): string {
  const { key, proof, data } = checkedRecord(record);
  wholeNumber(key.created, 'key.created');
  wholeNumber(key.parent.created, 'key.parent.created');
  const keyText = encodeRecordKey({ ...key, encryptedKey: viewOf(key.encryptedKey) });
  return encodeWithKey(keyText, viewOf(data), proof && base64(proof));
}

const PROOF = optional(BYTES);

/**
 * Checks a record from a caller, and copies its members. It reads each member once, because a getter may return another
 * value later.
 * @throws TypeError naming the member that has the wrong type
 * @throws KeyfoldError `InvalidRequest` if a proof is not 32 bytes long
 */
export function checkedRecord(record: DataRowRecord): DataRowRecord {
  const key = memberOf(record, 'key', 'record');
  const proof = memberOf(record, 'proof', 'record');
  const data = memberOf(record, 'data', 'record');
  const created = memberOf(key, 'created', 'record.key');
  const encryptedKey = memberOf(key, 'encryptedKey', 'record.key');
  const parent = memberOf(key, 'parent', 'record.key');
  const id = memberOf(parent, 'id', 'record.key.parent');
  const parentCreated = memberOf(parent, 'created', 'record.key.parent');
  check(created, 'record.key.created', NUMBER);
  check(encryptedKey, 'record.key.encryptedKey', BYTES);
  check(id, 'record.key.parent.id', STRING);
  check(parentCreated, 'record.key.parent.created', NUMBER);
  check(proof, 'record.proof', PROOF);
  check(data, 'record.data', BYTES);
  const checkedKey = { created, encryptedKey, parent: { id, created: parentCreated } };
  return proof === undefined ? { key: checkedKey, data } : { key: checkedKey, proof: checkedProof(proof), data };
}

/** Copies a checked record, because its caller may overwrite the bytes while a key loads. */
export function copyOf({ key, proof, data }: DataRowRecord): DataRowRecord {
  const ownKey = { ...key, encryptedKey: ownBytes(key.encryptedKey) };
  return { key: ownKey, ...(proof && { proof: ownBytes(proof) }), data: ownBytes(data) };
}

function ownBytes(array: Uint8Array): Buffer {
  return Buffer.from(viewOf(array));
}

function memberOf<T extends object, K extends keyof T & string>(object: T, member: K, name: string): T[K] {
  if (typeof object !== 'object' || object === null) check(object, name, OBJECT);
  return read(object, member, name) as T[K];
}

/** The JSON text of a record's key, for {@link encodeWithKey}. All records of one Data Row Key share it. */
export function encodeRecordKey({ created, encryptedKey, parent }: DataRowRecord['key']): string {
  return `{"Created":${created},"Key":"${base64(encryptedKey)}","ParentKeyMeta":{"KeyId":${JSON.stringify(parent.id)},"Created":${parent.created}}}`;
}

/** Like {@link encodeDataRowRecord}, but takes the key as JSON text, and the proof in base64. */
export function encodeWithKey(keyText: string, data: Uint8Array, proofText?: string): string {
  const bound = proofText === undefined ? '' : `,"Proof":"${proofText}"`;
  return `{"Key":${keyText}${bound},"Data":"${base64(data)}"}`;
}

/**
 * Reads a record from JSON text.
 * @throws TypeError if the text is not a string
 * @throws KeyfoldError `InvalidRequest`, naming the wrong member. The error does not quote the text.
 */
export function decodeDataRowRecord(text: string): DataRowRecord {
  check(text, 'text', STRING);
  const cut = cutPayload(text);
  return cut === undefined ? dataRowRecordFromValue(parseJson(text)) : { ...keyAndProof(cut.rest), data: cut.data };
}

/**
 * Reads a record from a value that `JSON.parse` made. Unknown members are ignored.
 * @throws KeyfoldError `InvalidRequest`, naming the wrong member
 */
export function dataRowRecordFromValue(value: unknown): DataRowRecord {
  const record = fields(value, 'the record');
  return { ...keyAndProof(record), data: bytes(read(record, 'Data', 'record'), 'Data') };
}

function keyAndProof(record: Record<string, unknown>): Omit<DataRowRecord, 'data'> {
  const key = keyFromValue(record);
  const proof = read(record, 'Proof', 'record');
  return proof === undefined ? { key } : { key, proof: checkedProof(bytes(proof, 'Proof')) };
}

/** A damaged proof is an error. If Keyfold treated it as absent, callers without a context could open the record. */
function checkedProof(proof: Uint8Array): Uint8Array {
  if (byteLengthOf(proof) === PROOF_BYTES) return proof;
  throw malformed('Proof', `of ${PROOF_BYTES} bytes`);
}

function keyFromValue(record: Record<string, unknown>): DataRowRecord['key'] {
  const key = fields(read(record, 'Key', 'record'), 'Key');
  const parent = fields(read(key, 'ParentKeyMeta', 'Key'), 'Key.ParentKeyMeta');
  const id = read(parent, 'KeyId', 'Key.ParentKeyMeta');
  if (typeof id !== 'string') throw malformed('Key.ParentKeyMeta.KeyId', 'a string');
  return {
    created: wholeNumber(read(key, 'Created', 'Key'), 'Key.Created'),
    encryptedKey: bytes(read(key, 'Key', 'Key'), 'Key.Key'),
    parent: { id, created: wholeNumber(read(parent, 'Created', 'Key.ParentKeyMeta'), 'Key.ParentKeyMeta.Created') },
  };
}

function base64(value: Uint8Array): string {
  const buffer = Buffer.isBuffer(value) ? value : viewOf(value);
  return buffer.toString('base64');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new KeyfoldError('InvalidRequest', 'The record is not JSON.');
  }
}

function fields(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || isOf(ARRAY, value, name)) throw malformed(name, 'a JSON object');
  return value as Record<string, unknown>;
}

function wholeNumber(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value)) throw malformed(name, 'a whole number of seconds');
  return value as number;
}

function bytes(value: unknown, name: string): Buffer {
  const decoded = typeof value === 'string' ? decodeBase64(value) : undefined;
  if (decoded === undefined) throw malformed(name, 'padded standard base64');
  return decoded;
}

function malformed(name: string, wanted: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The record is malformed: ${name} is not ${wanted}.`);
}
