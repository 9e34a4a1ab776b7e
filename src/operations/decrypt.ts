import * as v from 'valibot';
import type { ItemOperation } from './item-operation.ts';
import { parseInput } from './operation.ts';
import { payloadBytes, readRecord, type GivenRecord } from './record.ts';

const input = v.strictObject({ record: v.unknown() });

/** Opens a record of the session's partition. */
export const decrypt: ItemOperation<GivenRecord> = {
  parse: (value) => readRecord(parseInput(input, value).record),
  sizeBytes: ({ record }) => payloadBytes(record),
  run: async ({ record }, { session, limits }) =>
    `{"plaintext":"${(await session.decrypt(record, limits)).toString('base64')}"}`,
};
