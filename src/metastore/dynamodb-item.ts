import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { decodeBase64 } from '../crypto/base64.ts';
import { viewOf } from '../input/checks.ts';
import { exactInteger } from '../input/exact-integer.ts';
import { KeyfoldError, keyRowUnreadable } from '../errors.ts';
import { isPossibleKeyId, type EpochSeconds, type KeyId, type KeyMeta } from '../records/ids.ts';
import { PROOF_BYTES } from '../records/record-proof.ts';
import type { KeyRow, UnreadableRow } from '../maintenance/key-table.ts';
import type { EnvelopeKeyRecord, ErasureMark } from '../envelope/ports.ts';

/** A row of the key table in the SDK's representation (docs/reference/formats.md, "Key row"). */
export type KeyItem = Record<string, AttributeValue>;

/** Returns the primary key of a row. */
export function keyOfItem(id: string, created: number | string): KeyItem {
  return { Id: { S: id }, Created: { N: String(created) } };
}

/** Whether a row with this ID and date can exist. DynamoDB responds to an impossible key with a validation error. */
export function isPossibleKey(id: string, created: number): boolean {
  return isPossibleKeyId(id) && Number.isSafeInteger(created);
}

/** Encodes a sealed key as a row attribute. */
export function keyAttribute(encryptedKey: Uint8Array): AttributeValue.SMember {
  return { S: viewOf(encryptedKey).toString('base64') };
}

/** Encodes the record of a new key as a row. Only an erasure writes marks: see `encodeMarkedItem`. */
export function encodeKeyItem(record: EnvelopeKeyRecord): KeyItem {
  const { id, created, encryptedKey, parent, proof, revoked } = record;
  const keyRecord: KeyItem = {
    Created: { N: String(created) },
    Key: keyAttribute(encryptedKey),
    ...(parent && { ParentKeyMeta: { M: { KeyId: { S: parent.id }, Created: { N: String(parent.created) } } } }),
    ...(revoked && { Revoked: { BOOL: true } }),
  };
  return {
    ...keyOfItem(id, created),
    KeyRecord: { M: keyRecord },
    ...(proof && { Proof: { B: proof } }),
  };
}

/**
 * Decodes a row. Ignores unknown attributes. The dates in the primary key and in `KeyRecord` must agree.
 * @throws KeyfoldError `KeyRowUnreadable`, with the row and the invalid attribute in its message
 */
export function decodeKeyItem(item: KeyItem): EnvelopeKeyRecord {
  const row = { id: item['Id']?.S ?? '(no id)', created: item['Created']?.N ?? '?' };
  const present = <T>(value: T | undefined, attribute: string): T => {
    if (value === undefined) throw keyRowUnreadable(row, `${attribute} is missing or malformed`);
    return value;
  };
  const id = present(item['Id']?.S, 'Id') as KeyId;
  const created = present(wholeNumber(item['Created']), 'Created') as EpochSeconds;
  const keyRecord = present(item['KeyRecord']?.M, 'KeyRecord');
  const inner = keyRecord['Created'];
  if (inner !== undefined && wholeNumber(inner) !== created) {
    throw keyRowUnreadable(row, 'KeyRecord.Created differs from Created');
  }
  return {
    id,
    created,
    encryptedKey: present(bytes(keyRecord['Key']), 'KeyRecord.Key'),
    parent: keyRecord['ParentKeyMeta'] && present(keyMeta(keyRecord['ParentKeyMeta']), 'KeyRecord.ParentKeyMeta'),
    ...(item['Proof'] && { proof: present(proofOf(item['Proof']), 'Proof') }),
    ...(item['Erased'] && { erased: markOf(item['Erased']) }),
    revoked: present(flag(keyRecord['Revoked']), 'KeyRecord.Revoked'),
  };
}

/** Decodes a row for an operator. If {@link decodeKeyItem} refuses the row, returns the reason in `unreadable`. */
export function readKeyItem(item: KeyItem): KeyRow {
  try {
    return decodeKeyItem(item);
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    return { id: item['Id']?.S ?? '', ...createdOf(item), unreadable: error.message };
  }
}

/** The creation time of an item that may be unreadable. */
export function createdOf({ Created }: KeyItem): Pick<UnreadableRow, 'created' | 'rawCreated'> {
  const created = wholeNumber(Created);
  return { created, ...(created === undefined && { rawCreated: Created?.N }) };
}

function keyMeta(value: AttributeValue): KeyMeta | undefined {
  const id = value.M?.['KeyId']?.S;
  const created = wholeNumber(value.M?.['Created']);
  return id === undefined || created === undefined ? undefined : { id: id as KeyId, created: created as EpochSeconds };
}

/**
 * Decodes a whole number. Returns undefined for anything else, even if only the 38th digit makes the number fractional.
 */
export function wholeNumber(value: AttributeValue | undefined): number | undefined {
  const digits = value?.N === undefined ? undefined : exactInteger(value.N);
  return digits === undefined ? undefined : Number(digits);
}

function bytes(value: AttributeValue | undefined): Buffer | undefined {
  return value?.S === undefined ? undefined : decodeBase64(value.S);
}

/** A proof of the wrong type or length is malformed. If it counted as absent, an attacker could remove a proof. */
function proofOf(value: AttributeValue): Buffer | undefined {
  return value.B?.length === PROOF_BYTES ? viewOf(value.B) : undefined;
}

/**
 * Decodes a mark. A malformed mark becomes a mark that has no valid proof, so that its readers report and ignore it.
 */
function markOf({ M: mark = {} }: AttributeValue): ErasureMark {
  return {
    erase: mark['Erase']?.S ?? '',
    at: (wholeNumber(mark['At']) ?? 0) as EpochSeconds,
    due: (wholeNumber(mark['Due']) ?? 0) as EpochSeconds,
    proof: viewOf(mark['Proof']?.B ?? new Uint8Array()),
  };
}

/** Decodes a Boolean attribute. An absent attribute means false. */
function flag(value: AttributeValue | undefined): boolean | undefined {
  return value === undefined ? false : value.BOOL;
}
