/**
 * Tests that the parts of a record that a process keeps, such as its key ID, do not keep the record's whole text in
 * memory. V8 represents a substring of a long string as a slice, which refers to the whole string.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { requestOf } from '../../../src/doors/json-request.ts';
import { decrypt } from '../../../src/operations/decrypt.ts';
import { encodeCompactRecord, encodeDataRowRecord, type DataRowRecord } from '../../../src/index.ts';
import { decodeCompactRecord } from '../../../src/records/compact-record.ts';
import { decodeDataRowRecord } from '../../../src/records/data-row-record.ts';
import { readRecordBody } from '../../../src/records/fast-paths.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const RECORDS = 20;
const PAYLOAD_BYTES = 1_000_000;

function recordOf(created: number): DataRowRecord {
  const parent = { id: '_IK_tenant-1_orders_shop', created };
  return { key: { created, encryptedKey: Buffer.alloc(60), parent }, data: Buffer.alloc(PAYLOAD_BYTES) };
}

/** The size of the heap after a garbage collection. */
function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

const asRequest = (record: DataRowRecord, member = ''): string => `{"record":${encodeDataRowRecord(record)}${member}}`;
const fromRequest = (text: string): string => decrypt.parse(requestOf(text).value).record.key.parent.id;

/** A new string on the heap, as Lambda makes the body of an event. */
function onHeap(text: string): string {
  return JSON.parse(JSON.stringify(text)) as string;
}

describe('the ID of a key', () => {
  it.for<[string, (record: DataRowRecord) => string, (text: string) => string | undefined]>([
    ['a request that the fast path reads', asRequest, (text) => readRecordBody(text)?.record.key.parent.id],
    ['a request', (record) => asRequest(record, ',"context":{"a":"b"}'), fromRequest],
    ['a request with an escape', (record) => asRequest(record, ',"context":{"a":"\\u0062"}'), fromRequest],
    ['a record', encodeDataRowRecord, (text) => decodeDataRowRecord(text).key.parent.id],
    [
      'a record with another member at its end',
      (record) => `${encodeDataRowRecord(record).slice(0, -1)},"More":""}`,
      (text) => decodeDataRowRecord(text).key.parent.id,
    ],
    [
      'a compact record',
      (record) => encodeCompactRecord(record, 'bytes') ?? '',
      (text) => decodeCompactRecord(text).record.key.parent.id,
    ],
  ])('does not keep the whole text in memory if the ID is read from %s', ([, textOf, idOf]) => {
    const ids: (string | undefined)[] = [];
    const before = heapBytes();
    for (let i = 1; i <= RECORDS; i += 1) ids.push(idOf(onHeap(textOf(recordOf(i)))));
    expect(heapBytes() - before).toBeLessThan((RECORDS / 4) * PAYLOAD_BYTES);
    expect(ids).toEqual(Array(RECORDS).fill('_IK_tenant-1_orders_shop'));
  });
});
