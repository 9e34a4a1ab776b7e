import * as v from 'valibot';
import { SEAL_OVERHEAD_BYTES } from '../envelope/aead.ts';
import { dataRowRecordFromValue } from '../envelope/data-row-record.ts';
import { limitPlaintext, parseInput, type Operation } from './operation.ts';

const input = v.strictObject({ record: v.unknown() });

/** Opens a record of the session's partition. */
export const decrypt: Operation<{ plaintext: Buffer }> = async (body, context) => {
  const record = dataRowRecordFromValue(parseInput(input, body).record);
  limitPlaintext(record.data.length - SEAL_OVERHEAD_BYTES, context);
  return { plaintext: await context.session.decrypt(record, context.limits) };
};
