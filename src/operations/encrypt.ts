import * as v from 'valibot';
import { decodeBase64 } from '../envelope/base64.ts';
import type { DataRowRecord } from '../envelope/data-row-record.ts';
import { KeyfoldError } from '../envelope/errors.ts';
import { limitPlaintext, parseInput, type Operation } from './operation.ts';

const input = v.strictObject({ plaintext: v.string() });

/** Seals a payload for the session's partition. */
export const encrypt: Operation<{ record: DataRowRecord }> = async (body, context) => {
  const { plaintext } = parseInput(input, body);
  limitPlaintext(Math.floor((plaintext.length * 3) / 4) - 2, context);
  const bytes = decodeBase64(plaintext);
  if (bytes === undefined) {
    throw new KeyfoldError('InvalidRequest', "The request's plaintext is malformed: not padded standard base64.");
  }
  limitPlaintext(bytes.length, context);
  return { record: await context.session.encrypt(bytes, context.limits) };
};
