import * as v from 'valibot';
import { SEAL_OVERHEAD_BYTES } from '../envelope/aead.ts';
import { dataRowRecordFromValue, type DataRowRecord } from '../envelope/data-row-record.ts';
import { limitPlaintext, parseInput, type Operation } from './operation.ts';

const input = v.strictObject({ record: v.unknown() });

/** Moves a record of the session's partition under its latest key. */
export const rewrap: Operation<{ record: DataRowRecord; rewrapped: boolean }> = async (body, context) => {
  const record = dataRowRecordFromValue(parseInput(input, body).record);
  limitPlaintext(record.data.length - SEAL_OVERHEAD_BYTES, context);
  return context.session.rewrap(record, context.limits);
};
