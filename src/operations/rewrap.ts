import * as v from 'valibot';
import type { ItemOperation } from './item-operation.ts';
import { parseInput } from './operation.ts';
import { payloadBytes, readRecord, writeRecord, type GivenRecord } from './record.ts';

const input = v.strictObject({ record: v.unknown(), format: v.optional(v.literal('compact')) });

/** Moves a record of the session's partition under its latest key. It keeps its form unless another is asked for. */
export const rewrap: ItemOperation<GivenRecord> = {
  parse: (value) => {
    const { record: given, format } = parseInput(input, value);
    const { record, form } = readRecord(given);
    return { record, form: form === 'object' && format !== undefined ? 'bytes' : form };
  },
  sizeBytes: ({ record }) => payloadBytes(record),
  run: async ({ record, form }, { session, limits }) => {
    const moved = await session.rewrap(record, limits);
    return `{"record":${writeRecord(moved.record, form)},"rewrapped":${moved.rewrapped}}`;
  },
};
