import { SEAL_OVERHEAD_BYTES } from '../crypto/aead.ts';
import { decodeBase64Url } from '../crypto/base64.ts';
import { byteLengthOf, check, oneOf, STRING, viewOf } from '../input/checks.ts';
import { checkedRecord, type DataRowRecord } from './data-row-record.ts';
import { KeyfoldError } from '../errors.ts';
import { freeNow } from '../crypto/free-now.ts';
import { KEY_BYTES } from '../crypto/random.ts';

/** What the payload of a compact record is: `bytes`, or `json`, the text of a JSON value from a field of a document. */
export type CompactKind = 'bytes' | 'json';

/** A record that was read from its compact form. */
export interface CompactRecord {
  readonly kind: CompactKind;
  readonly record: DataRowRecord;
}

const PREFIX: Readonly<Record<CompactKind, string>> = { bytes: 'kf1.', json: 'kf1j.' };
const KIND = oneOf('bytes', 'json');
const TIME_BYTES = 6;
const LATEST_TIME = 2 ** (8 * TIME_BYTES) - 1;
const ID_LENGTH_AT = 2 * TIME_BYTES;
const ID_AT = ID_LENGTH_AT + 2;
const MAX_ID_BYTES = 0xff_ff;
const SEALED_KEY_BYTES = KEY_BYTES + SEAL_OVERHEAD_BYTES;

/** Whether a text begins like a compact record. The rest of it is not checked. */
export function looksCompact(text: string): boolean {
  return kindOf(text) !== undefined;
}

/**
 * Writes a record as a short string, for a column or a field of text (docs/reference/formats.md). It is about half as long
 * as the base64 of the record's JSON. The kind is not authenticated, because an Asherah record has no place for it.
 * @returns the string; undefined for a record that has no compact form. Every record that Keyfold made has one.
 * @throws TypeError for a member of a wrong type, or an unknown kind
 */
export function encodeCompactRecord(record: DataRowRecord, kind: CompactKind): string | undefined {
  const { key, data } = checkedRecord(record);
  check(kind, 'kind', KIND);
  const dataBytes = byteLengthOf(data);
  const idBytes = Buffer.byteLength(key.parent.id);
  const exists =
    [key.created, key.parent.created].every((time) => Number.isInteger(time) && time >= 0 && time <= LATEST_TIME) &&
    byteLengthOf(key.encryptedKey) === SEALED_KEY_BYTES &&
    dataBytes >= SEAL_OVERHEAD_BYTES &&
    idBytes >= 1 &&
    idBytes <= MAX_ID_BYTES &&
    key.parent.id.isWellFormed();
  if (!exists) return undefined;
  const keyAt = ID_AT + idBytes;
  const bytes = Buffer.allocUnsafe(keyAt + SEALED_KEY_BYTES + dataBytes);
  bytes.writeUIntBE(key.created, 0, TIME_BYTES);
  bytes.writeUIntBE(key.parent.created, TIME_BYTES, TIME_BYTES);
  bytes.writeUInt16BE(idBytes, ID_LENGTH_AT);
  bytes.write(key.parent.id, ID_AT);
  bytes.set(viewOf(key.encryptedKey), keyAt);
  bytes.set(viewOf(data), keyAt + SEALED_KEY_BYTES);
  const text = PREFIX[kind] + bytes.toString('base64url');
  freeNow(bytes);
  return text;
}

/** The number of characters of a compact record. All of them are ASCII. */
export function compactLength(kind: CompactKind, idBytes: number, payloadBytes: number): number {
  const bytes = ID_AT + idBytes + SEALED_KEY_BYTES + payloadBytes + SEAL_OVERHEAD_BYTES;
  return PREFIX[kind].length + Math.ceil((bytes * 4) / 3);
}

/**
 * Reads a record from its compact form.
 * @throws TypeError if the text is not a string
 * @throws KeyfoldError `InvalidRequest` if the text is not a compact record. The error does not quote the text.
 */
export function decodeCompactRecord(text: string): CompactRecord {
  check(text, 'text', STRING);
  const kind = kindOf(text);
  if (kind === undefined) throw malformed('does not begin with kf1. or kf1j.');
  const bytes = decodeBase64Url(text.slice(PREFIX[kind].length));
  if (bytes === undefined) throw malformed('is not unpadded base64url');
  const keyAt = bytes.length < ID_AT ? Number.NaN : ID_AT + bytes.readUInt16BE(ID_LENGTH_AT);
  const dataAt = keyAt + SEALED_KEY_BYTES;
  if (!(keyAt > ID_AT && bytes.length - dataAt >= SEAL_OVERHEAD_BYTES)) throw malformed('ends too early');
  const parent = { id: decodeId(bytes.subarray(ID_AT, keyAt)), created: bytes.readUIntBE(TIME_BYTES, TIME_BYTES) };
  const key = { created: bytes.readUIntBE(0, TIME_BYTES), encryptedKey: bytes.subarray(keyAt, dataAt), parent };
  return { kind, record: { key, data: bytes.subarray(dataAt) } };
}

function kindOf(text: string): CompactKind | undefined {
  if (text.startsWith(PREFIX.bytes)) return 'bytes';
  return text.startsWith(PREFIX.json) ? 'json' : undefined;
}

function decodeId(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed("holds a key's id that is not UTF-8");
  }
}

function malformed(what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The compact record is malformed: it ${what}.`);
}
