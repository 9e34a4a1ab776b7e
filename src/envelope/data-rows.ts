import { createSecretKey, type KeyObject } from 'node:crypto';
import { open } from '../crypto/aead.ts';
import type { DataRowRecord } from '../records/data-row-record.ts';
import { isBoundTo, type Binding } from '../records/record-proof.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import { recordUnreadable } from '../errors.ts';
import { KEY_BYTES } from '../crypto/random.ts';

/**
 * Opens the Data Row Key of a record.
 * @param parent the Intermediate Key that the record names
 * @throws KeyfoldError `RecordUnreadable` if the Data Row Key does not open under `parent`
 */
export function openDataRowKey(parent: EnvelopeKey, record: DataRowRecord): KeyObject {
  const bytes = dataRowKeyBytes(parent, record);
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

/**
 * Opens a record with its Data Row Key.
 * @param binding the place that the caller expects. Undefined if the record does not need to prove its place.
 * @returns the payload, which the caller owns
 * @throws KeyfoldError `RecordUnreadable` if the record was sealed for another place, or the payload does not open
 */
export function openDataRow(key: KeyObject, record: DataRowRecord, binding?: Binding): Buffer {
  if (binding !== undefined && !isBoundTo(key, binding, record)) {
    throw recordUnreadable('it is not bound to this context');
  }
  const plaintext = open(key, record.data);
  if (plaintext === undefined) throw recordUnreadable('the payload does not open under its Data Row Key');
  return plaintext;
}

/**
 * Moves a record from one Intermediate Key to another. The payload is neither opened nor changed. The record keeps its
 * proof, because the proof does not depend on either key.
 * @returns the same record object if the two keys are the same
 * @throws KeyfoldError `RecordUnreadable` if the record's Data Row Key does not open under `from`
 */
export function rewrapDataRow(from: EnvelopeKey, to: EnvelopeKey, record: DataRowRecord): DataRowRecord {
  const bytes = dataRowKeyBytes(from, record);
  try {
    if (from.standing.id === to.standing.id && from.standing.created === to.standing.created) return record;
    const key = { created: record.key.created, encryptedKey: to.seal(bytes), parent: to.toJSON() };
    return record.proof === undefined ? { key, data: record.data } : { key, proof: record.proof, data: record.data };
  } finally {
    bytes.fill(0);
  }
}

function dataRowKeyBytes(parent: EnvelopeKey, record: DataRowRecord): Buffer {
  const bytes = parent.open(record.key.encryptedKey);
  if (bytes?.length === KEY_BYTES) return bytes;
  bytes?.fill(0);
  throw recordUnreadable('the Data Row Key does not open under its Intermediate Key');
}
