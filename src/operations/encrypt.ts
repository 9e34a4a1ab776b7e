import * as v from 'valibot';
import { decodeBase64 } from '../envelope/base64.ts';
import { KeyfoldError } from '../envelope/errors.ts';
import type { ItemOperation } from './item-operation.ts';
import { parseInput } from './operation.ts';
import { writeRecord, type RecordForm } from './record.ts';

const input = v.strictObject({ plaintext: v.string(), format: v.optional(v.literal('compact')) });

/** Seals a payload for the session's partition. */
export const encrypt: ItemOperation<{ plaintext: Buffer; form: RecordForm }> = {
  parse: (value) => {
    const { plaintext, format } = parseInput(input, value);
    const bytes = decodeBase64(plaintext);
    if (bytes !== undefined) return { plaintext: bytes, form: format === undefined ? 'object' : 'bytes' };
    throw new KeyfoldError('InvalidRequest', "The request's plaintext is malformed: not padded standard base64.");
  },
  sizeBytes: ({ plaintext }) => plaintext.length,
  run: async ({ plaintext, form }, { session, limits }) =>
    `{"record":${writeRecord(await session.encrypt(plaintext, limits), form)}}`,
};
