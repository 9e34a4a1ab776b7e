import { SEAL_OVERHEAD_BYTES } from '../crypto/aead.ts';
import { BLOCK_NUMBER, expand32Text, isEqual, type SecretKey } from '../crypto/hkdf.ts';
import { KeyfoldError } from '../errors.ts';
import {
  byteLengthOf,
  check,
  copyBytes,
  OBJECT,
  oneOf,
  optional,
  optionsOf,
  read,
  STRING,
  type Types,
} from '../input/checks.ts';
import { lengthPrefixed } from './length-prefixed.ts';

/**
 * Names the place of a record, such as `{ table: 'users', id: '42' }`. It has 1 to 16 entries. A name has 1 to 128
 * bytes of UTF-8, and a value 0 to 1,024. The order of the entries does not matter. As in `JSON.stringify`, only own
 * enumerable members count, and no symbols. Contexts are not secret, but Keyfold neither stores nor logs them.
 */
export type RecordContext = Readonly<Record<string, string>>;

/** What a payload contains: `bytes`, or `json` for the JSON text of a document's field. */
export type RecordForm = 'bytes' | 'json';

/** The parts of a record's place that its {@link RecordContext} does not name. */
export interface RecordPlace {
  /** What the payload contains. Default: `bytes`. */
  readonly form?: RecordForm | undefined;
  /** The path of a field in its document. Default: empty. */
  readonly path?: string | undefined;
}

/**
 * The form, the path and the context of a record, encoded for {@link recordProof}. At its end, the buffer has space for
 * the last bytes of a sealed payload. Each call of {@link recordProof} overwrites these bytes.
 */
export type Binding = Buffer;

export const PROOF_BYTES = 32;

const LABEL = lengthPrefixed('keyfold/record-proof/1');
const FORM: Readonly<Record<RecordForm, Buffer>> = {
  bytes: Buffer.concat([LABEL, lengthPrefixed('bytes')]),
  json: Buffer.concat([LABEL, lengthPrefixed('json')]),
};
const PLACE: Types<RecordPlace> = { form: optional(oneOf('bytes', 'json')), path: optional(STRING) };

export const MAX_ENTRIES = 16;
const MAX_NAME_BYTES = 128;
const MAX_VALUE_BYTES = 1024;
const LONG_TEXT_BYTES = 64;

/**
 * Encodes the place of a record. Entries are sorted by the UTF-8 bytes of their names, and nothing is normalised.
 * @throws TypeError if the context is not an object of strings, or if the place has a member of the wrong type
 * @throws KeyfoldError `InvalidRequest` if the context has too few or too many entries, if a name or value is too long
 * or not well-formed Unicode, or if the path is not well-formed
 */
export function bindingOf(context: RecordContext, place?: RecordPlace): Binding {
  check(context, 'context', OBJECT);
  const { form = 'bytes', path = '' } = place === undefined ? {} : optionsOf(place, 'place', PLACE);
  const names = Object.keys(context);
  if (names.length === 0 || names.length > MAX_ENTRIES) throw invalid(`must have 1 to ${MAX_ENTRIES} entries`);
  const entries: Entry[] = [];
  for (const name of names) {
    const value = read(context, name, 'context') as string;
    if (typeof value !== 'string') throw new TypeError('context must have strings as its values.');
    const nameBytes = sizeOf(name, 1, MAX_NAME_BYTES, 'names');
    insert(entries, { name, nameBytes, value, valueBytes: sizeOf(value, 0, MAX_VALUE_BYTES, 'values') });
  }
  if (!path.isWellFormed())
    throw new KeyfoldError('InvalidRequest', 'The path of a bound field must be well-formed Unicode.');
  return encode(FORM[form], path, entries);
}

/** A context entry, and the sizes of its name and value in UTF-8. */
interface Entry {
  readonly name: string;
  readonly nameBytes: number;
  readonly value: string;
  readonly valueBytes: number;
}

/**
 * Inserts an entry at its place in the sorted list. For a few entries, this takes less time than
 * `Array.prototype.sort`.
 */
function insert(entries: Entry[], entry: Entry): void {
  let at = entries.length;
  for (; at > 0 && isAfter(entries[at - 1] as Entry, entry); at -= 1) entries[at] = entries[at - 1] as Entry;
  entries[at] = entry;
}

/** Compares the names by their UTF-8 bytes. For ASCII names, JavaScript's own string order is the same. */
function isAfter(a: Entry, b: Entry): boolean {
  const areAscii = a.nameBytes === a.name.length && b.nameBytes === b.name.length;
  return areAscii ? a.name > b.name : Buffer.from(a.name).compare(Buffer.from(b.name)) > 0;
}

/**
 * Writes everything into one buffer. Creating a separate buffer for each part would take half as long as the proof
 * itself.
 */
function encode(head: Buffer, path: string, entries: readonly Entry[]): Buffer {
  const pathBytes = Buffer.byteLength(path);
  let size = head.length + 4 + pathBytes + 4 + 4 + SEAL_OVERHEAD_BYTES + 1;
  for (const { nameBytes, valueBytes } of entries) size += 8 + nameBytes + valueBytes;
  const bytes = Buffer.allocUnsafe(size);
  bytes.set(head);
  let at = writeText(bytes, path, pathBytes, head.length);
  at = bytes.writeUInt32BE(entries.length, at);
  for (const { name, nameBytes, value, valueBytes } of entries) {
    at = writeText(bytes, name, nameBytes, at);
    at = writeText(bytes, value, valueBytes, at);
  }
  at = bytes.writeUInt32BE(SEAL_OVERHEAD_BYTES, at);
  bytes[at + SEAL_OVERHEAD_BYTES] = BLOCK_NUMBER;
  return bytes;
}

/** Writes the size of a string and then the string, and returns the position after it. */
function writeText(bytes: Buffer, text: string, size: number, at: number): number {
  const start = bytes.writeUInt32BE(size, at);
  if (size !== text.length || size > LONG_TEXT_BYTES) return start + bytes.write(text, start);
  // For short ASCII text, this takes a third of the time of a call to native code.
  for (let i = 0; i < size; i += 1) bytes[start + i] = text.charCodeAt(i);
  return start + size;
}

/**
 * The proof that a record was sealed for its place: HKDF-Expand-SHA-256 under the Data Row Key, over the binding and
 * the last 28 bytes of the sealed payload. These bytes are the tag and the nonce of the payload. GCM ties the rest of
 * the payload to them, so the cost does not depend on the payload's size (docs/reference/formats.md).
 */
export function recordProof(dataRowKey: SecretKey, binding: Binding, sealed: Uint8Array): Buffer {
  return Buffer.from(recordProofText(dataRowKey, binding, sealed, 'binary'), 'latin1');
}

/** Returns the {@link recordProof} as text: in base64, or with one character for each byte. */
export function recordProofText(
  dataRowKey: SecretKey,
  binding: Binding,
  sealed: Uint8Array,
  encoding: 'base64' | 'binary',
): string {
  const from = byteLengthOf(sealed) - SEAL_OVERHEAD_BYTES;
  copyBytes(sealed, from, binding, binding.length - SEAL_OVERHEAD_BYTES - 1, SEAL_OVERHEAD_BYTES);
  return expand32Text(dataRowKey, binding, encoding);
}

/** Holds the right proof while it is compared. One buffer is enough, because all use is synchronous. */
const expected = Buffer.allocUnsafeSlow(PROOF_BYTES);

/** Whether a record was sealed for the place of `binding`. The comparison takes constant time. */
export function isBoundTo(
  dataRowKey: SecretKey,
  binding: Binding,
  { data, proof }: { readonly data: Uint8Array; readonly proof?: Uint8Array | undefined },
): boolean {
  if (proof === undefined || byteLengthOf(data) < SEAL_OVERHEAD_BYTES) return false;
  expected.write(recordProofText(dataRowKey, binding, data, 'binary'), 'latin1');
  return isEqual(expected, proof);
}

/**
 * The size of a string in UTF-8, which must be well-formed.
 * @throws KeyfoldError `InvalidRequest` if the size is out of bounds or the string is not well-formed
 */
function sizeOf(text: string, min: number, max: number, what: string): number {
  const isAscii = isShortAscii(text);
  const size = isAscii ? text.length : Buffer.byteLength(text);
  if (size < min || size > max) throw invalid(`must have ${what} of ${min} to ${max} bytes of UTF-8`);
  if (!isAscii && !text.isWellFormed()) throw invalid(`must have ${what} of well-formed Unicode`);
  return size;
}

/** Whether a text is short and ASCII. For such a text, this takes less than half as long as a call to native code. */
function isShortAscii(text: string): boolean {
  if (text.length > LONG_TEXT_BYTES) return false;
  for (let i = 0; i < text.length; i += 1) if (text.charCodeAt(i) > 127) return false;
  return true;
}

function invalid(what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `context ${what}.`);
}
