import { SEAL_OVERHEAD_BYTES } from '../crypto/aead.ts';
import { decodeBase64Url } from '../crypto/base64.ts';
import { utf8Of } from '../crypto/utf8.ts';
import { byteLengthOf, check, oneOf, STRING, viewOf } from '../input/checks.ts';
import { checkedRecord, type DataRowRecord } from './data-row-record.ts';
import { KeyfoldError } from '../errors.ts';
import { freeNow } from '../crypto/free-now.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import { PROOF_BYTES, type RecordForm } from './record-proof.ts';

/** What the payload of a compact record contains: `bytes`, or `json` for the JSON text of a document's field. */
export type CompactKind = RecordForm;

/** A record that was read from its compact form. */
export interface CompactRecord {
  readonly kind: CompactKind;
  readonly record: DataRowRecord;
}

const PREFIX: Readonly<Record<CompactKind, string>> = { bytes: 'kf1.', json: 'kf1j.' };
/** The prefixes of records with a proof. Versions of Keyfold that do not know proofs refuse these prefixes. */
const BOUND_PREFIX: Readonly<Record<CompactKind, string>> = { bytes: 'kf2.', json: 'kf2j.' };
const KIND = oneOf('bytes', 'json');
const TIME_BYTES = 6;
const LATEST_TIME = 2 ** (8 * TIME_BYTES) - 1;
const ID_LENGTH_AT = 2 * TIME_BYTES;
const ID_AT = ID_LENGTH_AT + 2;
const MAX_ID_BYTES = 0xff_ff;
const SEALED_KEY_BYTES = KEY_BYTES + SEAL_OVERHEAD_BYTES;

/** Whether a string begins like a compact record. Does not check the rest of the string. */
export function looksCompact(text: string): boolean {
  return labelOf(text) !== undefined;
}

/**
 * Writes a record as a short string, for a text column or a string field (docs/reference/formats.md). It is about half
 * as long as the base64 of the record's JSON. Only a proof authenticates the kind. A record without a proof is in
 * Asherah's format, which does not contain the kind.
 * @returns the string. Undefined if the record has no compact form. Every record that Keyfold makes has one.
 * @throws TypeError for a member of the wrong type, or for an unknown kind
 */
export function encodeCompactRecord(record: DataRowRecord, kind: CompactKind): string | undefined {
  const { key, proof, data } = checkedRecord(record);
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
  const proofAt = keyAt + SEALED_KEY_BYTES;
  const dataAt = proofAt + (proof === undefined ? 0 : PROOF_BYTES);
  const bytes = Buffer.allocUnsafe(dataAt + dataBytes);
  bytes.writeUIntBE(key.created, 0, TIME_BYTES);
  bytes.writeUIntBE(key.parent.created, TIME_BYTES, TIME_BYTES);
  bytes.writeUInt16BE(idBytes, ID_LENGTH_AT);
  bytes.write(key.parent.id, ID_AT);
  bytes.set(viewOf(key.encryptedKey), keyAt);
  if (proof !== undefined) bytes.set(viewOf(proof), proofAt);
  bytes.set(viewOf(data), dataAt);
  const text = (proof === undefined ? PREFIX : BOUND_PREFIX)[kind] + bytes.toString('base64url');
  freeNow(bytes);
  return text;
}

/** The number of characters of a compact record. All its characters are ASCII. */
export function compactLength(kind: CompactKind, idBytes: number, payloadBytes: number, bound: boolean): number {
  const proofBytes = bound ? PROOF_BYTES : 0;
  const bytes = ID_AT + idBytes + SEALED_KEY_BYTES + proofBytes + payloadBytes + SEAL_OVERHEAD_BYTES;
  return PREFIX[kind].length + Math.ceil((bytes * 4) / 3);
}

/**
 * Reads a record from its compact form.
 * @throws TypeError if the text is not a string
 * @throws KeyfoldError `InvalidRequest` if the text is not a compact record. The error does not quote the text.
 */
export function decodeCompactRecord(text: string): CompactRecord {
  check(text, 'text', STRING);
  const label = labelOf(text);
  if (label === undefined) throw malformed('does not begin with kf1., kf1j., kf2. or kf2j.');
  const { kind, bound } = label;
  const bytes = decodeBase64Url(text.slice(PREFIX[kind].length));
  if (bytes === undefined) throw malformed('is not unpadded base64url');
  const keyAt = bytes.length < ID_AT ? Number.NaN : ID_AT + bytes.readUInt16BE(ID_LENGTH_AT);
  const proofAt = keyAt + SEALED_KEY_BYTES;
  const dataAt = proofAt + (bound ? PROOF_BYTES : 0);
  if (!(keyAt > ID_AT && bytes.length - dataAt >= SEAL_OVERHEAD_BYTES)) throw malformed('ends too early');
  const parent = { id: decodeId(bytes.subarray(ID_AT, keyAt)), created: bytes.readUIntBE(TIME_BYTES, TIME_BYTES) };
  const key = { created: bytes.readUIntBE(0, TIME_BYTES), encryptedKey: bytes.subarray(keyAt, proofAt), parent };
  const data = bytes.subarray(dataAt);
  return { kind, record: bound ? { key, proof: bytes.subarray(proofAt, dataAt), data } : { key, data } };
}

/** Decodes the prefix of a string. Returns undefined if it is not the prefix of a compact record. */
function labelOf(text: string): { readonly kind: CompactKind; readonly bound: boolean } | undefined {
  for (const kind of ['bytes', 'json'] as const) {
    if (text.startsWith(PREFIX[kind])) return { kind, bound: false };
    if (text.startsWith(BOUND_PREFIX[kind])) return { kind, bound: true };
  }
  return undefined;
}

function decodeId(bytes: Buffer): string {
  const id = utf8Of(bytes);
  if (id === undefined) throw malformed("holds a key's id that is not UTF-8");
  return id;
}

function malformed(what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The compact record is malformed: it ${what}.`);
}
