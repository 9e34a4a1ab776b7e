import * as v from 'valibot';
import { decodeBase64 } from '../crypto/base64.ts';
import { KeyfoldError } from '../errors.ts';
import { freeNow } from '../crypto/free-now.ts';
import { PlaintextBody } from '../records/fast-paths.ts';
import type { RecordContext } from '../records/record-proof.ts';
import type { ItemOperation } from './item-operation.ts';
import { BASE64, base64Length, DEFAULT_LIMITS, parseInput } from './operation.ts';
import { contextEntry, sessionIn, stringsOf } from './context.ts';
import { formatEntry, recordSchema, writeRecord, type GivenForm } from './record.ts';

/** The input of `encrypt`. */
export const encryptInput = v.strictObject({
  plaintext: v.pipe(
    v.string(),
    v.metadata({
      ...BASE64,
      maxLength: base64Length(DEFAULT_LIMITS.plaintextLimitBytes),
      description: 'The payload, in padded standard base64.',
    }),
  ),
  format: formatEntry,
  context: contextEntry,
});

/** The output of `encrypt`. */
export const encryptOutput = v.strictObject({ record: recordSchema });

/** The operation `encrypt`: seals a payload for the session's partition. */
export const encrypt: ItemOperation<{ plaintext: Buffer; form: GivenForm; context: RecordContext | undefined }> = {
  parse: (value) => {
    if (value instanceof PlaintextBody) return { plaintext: value.plaintext, form: 'object', context: value.context };
    const { plaintext, format, context: given } = parseInput(encryptInput, value);
    const context = stringsOf(given, 'context');
    const bytes = decodeBase64(plaintext);
    if (bytes !== undefined) return { plaintext: bytes, form: format === undefined ? 'object' : 'bytes', context };
    throw new KeyfoldError('InvalidRequest', 'plaintext must be padded standard base64.');
  },
  sizeBytes: ({ plaintext }) => plaintext.length,
  run: async ({ plaintext, form, context }, { session: unbound, limits }) => {
    const session = sessionIn(unbound, context);
    if (form === 'object') {
      const text = await session.encryptToJson(plaintext, limits);
      freeNow(plaintext);
      return `{"record":${text}}`;
    }
    const record = await session.encrypt(plaintext, limits);
    freeNow(plaintext);
    const answer = `{"record":${writeRecord(record, form)}}`;
    freeNow(record.data);
    return answer;
  },
};
