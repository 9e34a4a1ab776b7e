import * as v from 'valibot';
import { freeNow } from '../crypto/free-now.ts';
import { RecordBody } from '../records/fast-paths.ts';
import type { ItemOperation } from './item-operation.ts';
import { parseInput } from './operation.ts';
import {
  formatEntry,
  payloadBytes,
  readRecord,
  recordEntry,
  recordSchema,
  writeRecord,
  type GivenRecord,
} from './record.ts';

/** The input of `rewrap`. */
export const rewrapInput = v.strictObject({ record: recordEntry, format: formatEntry });

/** The output of `rewrap`. */
export const rewrapOutput = v.strictObject({
  record: recordSchema,
  rewrapped: v.pipe(v.boolean(), v.description('False if the record already was under the latest key.')),
});

/**
 * The operation `rewrap`: moves a record under the partition's latest key. The record keeps its form unless the request
 * has a `format`.
 */
export const rewrap: ItemOperation<GivenRecord> = {
  parse: (value) => {
    // A rewrap takes no context. If the request has a context, skip this fast path, so that the schema rejects the
    // request.
    if (value instanceof RecordBody && value.context === undefined) return { record: value.record, form: 'object' };
    const { record: given, format } = parseInput(rewrapInput, value);
    const { record, form } = readRecord(given);
    return { record, form: form === 'object' && format !== undefined ? 'bytes' : form };
  },
  sizeBytes: ({ record }) => payloadBytes(record),
  run: async ({ record, form }, { session, limits }) => {
    const result = await session.rewrap(record, limits);
    const answer = `{"record":${writeRecord(result.record, form)},"rewrapped":${result.rewrapped}}`;
    freeNow(record.data);
    freeNow(result.record.data);
    return answer;
  },
};
