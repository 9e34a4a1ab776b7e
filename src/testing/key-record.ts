import type { EnvelopeKeyRecord } from '../envelope/ports.ts';
import type { KeyMeta } from '../records/ids.ts';

/** An id of 2,048 bytes with control and format characters. */
export const LONG_ID = '_IK_\0\n\u001b\u0085\u202e\u2028\ufeff\ufffe\u{e0001}'.padEnd(2037, 'x');

/** Makes an ordinary key record, with some members replaced. Does not check IDs and times. */
export function keyRecord(id: string, created: number, changes: Partial<EnvelopeKeyRecord> = {}): EnvelopeKeyRecord {
  return { ...keyMeta(id, created), encryptedKey: Buffer.from(`key ${created}`), revoked: false, ...changes };
}

export function keyMeta(id: string, created: number): KeyMeta {
  return { id: id as KeyMeta['id'], created: created as KeyMeta['created'] };
}
