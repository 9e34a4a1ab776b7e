import { createSecretKey } from 'node:crypto';
import { open, seal } from './aead.ts';
import type { DataRowRecord } from './data-row-record.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import { recordUnreadable } from './errors.ts';
import { KEY_BYTES, randomKeyBytes } from './random.ts';

/** Seals a payload under a fresh Data Row Key, and that under the Intermediate Key. `plaintext` stays the caller's. */
export function sealDataRow(parent: EnvelopeKey, plaintext: Uint8Array, nowMs: number): DataRowRecord {
  const bytes = randomKeyBytes();
  const data = seal(createSecretKey(bytes), plaintext);
  const key = { created: Math.floor(nowMs / 1000), encryptedKey: parent.seal(bytes), parent: parent.toJSON() };
  bytes.fill(0);
  return { key, data };
}

/**
 * Opens a record under the Intermediate Key that it names.
 * @returns the payload, which is the caller's
 * @throws KeyfoldError `RecordUnreadable`
 */
export function openDataRow(parent: EnvelopeKey, record: DataRowRecord): Buffer {
  const bytes = openDataRowKey(parent, record);
  const key = createSecretKey(bytes);
  bytes.fill(0);
  const plaintext = open(key, record.data);
  if (plaintext === undefined) throw recordUnreadable('the payload does not open under its Data Row Key');
  return plaintext;
}

/**
 * Moves a record under another Intermediate Key. Its payload is neither opened nor changed.
 * @returns the record itself where it is under that key already
 * @throws KeyfoldError `RecordUnreadable`
 */
export function rewrapDataRow(from: EnvelopeKey, to: EnvelopeKey, record: DataRowRecord): DataRowRecord {
  const bytes = openDataRowKey(from, record);
  try {
    if (from.standing.id === to.standing.id && from.standing.created === to.standing.created) return record;
    const key = { created: record.key.created, encryptedKey: to.seal(bytes), parent: to.toJSON() };
    return { key, data: record.data };
  } finally {
    bytes.fill(0);
  }
}

function openDataRowKey(parent: EnvelopeKey, record: DataRowRecord): Buffer {
  const bytes = parent.open(record.key.encryptedKey);
  if (bytes?.length === KEY_BYTES) return bytes;
  bytes?.fill(0);
  throw recordUnreadable('the Data Row Key does not open under its Intermediate Key');
}
