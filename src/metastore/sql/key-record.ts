import type { EnvelopeKeyRecord, ErasureMark } from '../../envelope/ports.ts';
import { KeyfoldError, keyRowUnreadable } from '../../errors.ts';
import { decodeBase64 } from '../../crypto/base64.ts';
import { viewOf } from '../../input/checks.ts';
import { exactInteger } from '../../input/exact-integer.ts';
import { isJsonObject, type JsonObject } from '../../input/json-object.ts';
import type { KeyRow } from '../../maintenance/key-table.ts';
import type { EpochSeconds, KeyId, KeyMeta } from '../../records/ids.ts';
import { isNestedTooDeeply } from '../../records/json-depth.ts';
import { PROOF_BYTES } from '../../records/record-proof.ts';

/**
 * The longest `key_record` in characters. It is the maximum for TEXT in MySQL. A System Key with wraps for 20 regions
 * takes up a quarter of it.
 */
export const MAX_KEY_RECORD_CHARACTERS = 65_535;

/** A row of `encryption_key`, without its id. */
export interface SqlKeyRow {
  /** The column `created` in seconds since 1970. Undefined if it is not a whole number of seconds. */
  readonly created: number | undefined;
  /** The column `created` in the database's own format. */
  readonly date: string;
  /**
   * The column `key_record`, but at most one character more than {@link MAX_KEY_RECORD_CHARACTERS}. Null for SQL's
   * NULL.
   */
  readonly text: string | null;
}

/**
 * Encodes the record of a new key as the text of `key_record`, in Asherah's form. The text has no erasure mark, because
 * only an erasure writes marks: see {@link erasedMember}.
 */
export function encodeKeyRecord({ created, encryptedKey, parent, proof, revoked }: EnvelopeKeyRecord): string {
  return JSON.stringify({
    ...(revoked && { Revoked: true }),
    Created: created,
    Key: base64(encryptedKey),
    ...(parent && { ParentKeyMeta: { KeyId: parent.id, Created: parent.created } }),
    ...(proof && { Proof: base64(proof) }),
  });
}

/**
 * Decodes a row. Ignores unknown members. The date in `key_record` must agree with the column `created`.
 * @throws KeyfoldError `KeyRowUnreadable`, with the row and the invalid member in its message
 */
export function decodeKeyRow(id: KeyId, { created, date: asStored, text }: SqlKeyRow): EnvelopeKeyRecord {
  const row = { id, created: created ?? asStored };
  const present = <T>(value: T | undefined, name: string): T => {
    if (value === undefined) throw keyRowUnreadable(row, `${name} is missing or malformed`);
    return value;
  };
  const date = present(created, 'created') as EpochSeconds;
  const record = present(parsed(text), 'key_record');
  if (present(wholeNumber(record['Created']), 'key_record.Created') !== date) {
    throw keyRowUnreadable(row, 'key_record.Created differs from created');
  }
  const { ParentKeyMeta: parent, Proof: proof, Revoked: revoked = false, Erased: erased } = record;
  return {
    id,
    created: date,
    encryptedKey: present(bytes(record['Key']), 'key_record.Key'),
    ...(parent !== undefined && { parent: present(keyMeta(parent), 'key_record.ParentKeyMeta') }),
    ...(proof !== undefined && { proof: present(proofOf(proof), 'key_record.Proof') }),
    ...(erased !== undefined && { erased: markOf(erased) }),
    revoked: present(typeof revoked === 'boolean' ? revoked : undefined, 'key_record.Revoked'),
  };
}

/** Decodes a row for an operator. If {@link decodeKeyRow} refuses the row, returns the reason in `unreadable`. */
export function readKeyRow(id: KeyId, row: SqlKeyRow): KeyRow {
  try {
    return decodeKeyRow(id, row);
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    const { created, date } = row;
    return { id, created, ...(created === undefined && { rawCreated: date }), unreadable: error.message };
  }
}

/** Encodes the mark of an erasure as a member of `key_record`. */
export function erasedMember({ erase, at, due, proof }: ErasureMark): { readonly Erased: JsonObject } {
  return { Erased: { Erase: erase, At: at, Due: due, Proof: base64(proof) } };
}

/** Replaces the sealed key in the text of a `key_record` that {@link decodeKeyRow} has read. */
export function withKey(text: string, encryptedKey: Uint8Array): string {
  return withMembers(text, { Key: base64(encryptedKey) });
}

/** Sets members in the text of a `key_record` that {@link decodeKeyRow} has read. */
export function withMembers(text: string, members: object): string {
  return JSON.stringify({ ...(JSON.parse(text) as JsonObject), ...members });
}

/**
 * Parses a `key_record` of limited length and depth. The error of JSON.parse is dropped, because it quotes the text.
 */
export function parsed(text: string | null): JsonObject | undefined {
  if (text === null || text.length > MAX_KEY_RECORD_CHARACTERS || isNestedTooDeeply(text)) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) && !hasRoundedInteger(text) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether JSON.parse has rounded a number of this JSON text to an integer. For example, it reads
 * 60.00000000000000000001 as 60.
 */
function hasRoundedInteger(text: string): boolean {
  const numbers = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '').match(/-?\d[\d.eE+-]*/g) ?? [];
  return numbers.some((number) => Number.isSafeInteger(Number(number)) && exactInteger(number) === undefined);
}

function keyMeta(value: unknown): KeyMeta | undefined {
  if (!isJsonObject(value)) return undefined;
  const { KeyId: id } = value;
  const created = wholeNumber(value['Created']);
  if (typeof id !== 'string' || created === undefined) return undefined;
  return { id: id as KeyId, created: created as EpochSeconds };
}

export function wholeNumber(value: unknown): number | undefined {
  return Number.isSafeInteger(value) ? (value as number) : undefined;
}

function bytes(value: unknown): Buffer | undefined {
  return typeof value === 'string' ? decodeBase64(value) : undefined;
}

/** A proof of the wrong type or length is malformed. If it counted as absent, an attacker could remove a proof. */
function proofOf(value: unknown): Buffer | undefined {
  const proof = bytes(value);
  return proof?.length === PROOF_BYTES ? proof : undefined;
}

/**
 * Decodes a mark. A malformed mark becomes a mark that has no valid proof, so that its readers report and ignore it.
 */
function markOf(value: unknown): ErasureMark {
  const { Erase: erase, At: at, Due: due, Proof: proof }: JsonObject = isJsonObject(value) ? value : {};
  return {
    erase: typeof erase === 'string' ? erase : '',
    at: (wholeNumber(at) ?? 0) as EpochSeconds,
    due: (wholeNumber(due) ?? 0) as EpochSeconds,
    proof: bytes(proof) ?? Buffer.alloc(0),
  };
}

function base64(value: Uint8Array): string {
  return viewOf(value).toString('base64');
}
