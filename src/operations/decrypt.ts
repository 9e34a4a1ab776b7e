import * as v from 'valibot';
import { freeNow } from '../crypto/free-now.ts';
import { RecordBody } from '../records/fast-paths.ts';
import type { ItemOperation } from './item-operation.ts';
import { BASE64, parseInput } from './operation.ts';
import { payloadBytes, readRecord, recordEntry, type GivenRecord } from './record.ts';

/** The input of `decrypt`. */
export const decryptInput = v.strictObject({ record: recordEntry });

/** The output of `decrypt`. */
export const decryptOutput = v.strictObject({
  plaintext: v.pipe(v.string(), v.metadata({ ...BASE64, description: 'The payload, in padded standard base64.' })),
});

/** The operation `decrypt`: opens a record of the session's partition. */
export const decrypt: ItemOperation<GivenRecord> = {
  parse: (value) =>
    value instanceof RecordBody
      ? { record: value.record, form: 'object' }
      : readRecord(parseInput(decryptInput, value).record),
  sizeBytes: ({ record }) => payloadBytes(record),
  run: async ({ record }, { session, limits }) => {
    const plaintext = await session.decrypt(record, limits);
    const answer = `{"plaintext":"${plaintext.toString('base64')}"}`;
    freeNow(record.data);
    freeNow(plaintext);
    return answer;
  },
};
