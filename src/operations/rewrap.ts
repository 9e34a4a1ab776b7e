import * as v from 'valibot';
import { freeNow } from '../crypto/free-now.ts';
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

/** What is moved. */
export const rewrapInput = v.strictObject({ record: recordEntry, format: formatEntry });

/** What moving answers with. */
export const rewrapOutput = v.strictObject({
  record: recordSchema,
  rewrapped: v.pipe(v.boolean(), v.description('false: it was under the latest key already.')),
});

/** Moves a record of the session's partition under its latest key. It keeps its form unless another is asked for. */
export const rewrap: ItemOperation<GivenRecord> = {
  parse: (value) => {
    const { record: given, format } = parseInput(rewrapInput, value);
    const { record, form } = readRecord(given);
    return { record, form: form === 'object' && format !== undefined ? 'bytes' : form };
  },
  sizeBytes: ({ record }) => payloadBytes(record),
  run: async ({ record, form }, { session, limits }) => {
    const moved = await session.rewrap(record, limits);
    const answer = `{"record":${writeRecord(moved.record, form)},"rewrapped":${moved.rewrapped}}`;
    freeNow(record.data);
    return answer;
  },
};
