import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import type { EnvelopeKeyRecord, ErasureMark } from '../envelope/ports.ts';
import { encodeKeyItem, type KeyItem } from './dynamodb-item.ts';

/** Encodes the mark of an erasure as a row attribute. */
export function erasedAttribute({ erase, at, due, proof }: ErasureMark): AttributeValue {
  return { M: { Erase: { S: erase }, At: { N: String(at) }, Due: { N: String(due) }, Proof: { B: proof } } };
}

/** Encodes a key record that may have the mark of an erasure as a row. */
export function encodeMarkedItem(record: EnvelopeKeyRecord): KeyItem {
  const { erased } = record;
  return { ...encodeKeyItem(record), ...(erased && { Erased: erasedAttribute(erased) }) };
}
