import * as v from 'valibot';
import { freeNow } from '../crypto/free-now.ts';
import { KeyfoldError } from '../errors.ts';
import { contextEntry, sessionIn, stringsOf } from './context.ts';
import { RecordBody } from '../records/fast-paths.ts';
import type { RecordContext } from '../records/record-proof.ts';
import type { ItemOperation } from './item-operation.ts';
import { BASE64, parseInput } from './operation.ts';
import { payloadBytes, readRecord, recordEntry, type GivenRecord } from './record.ts';

/** The schema of `path`. */
const pathEntry = v.optional(
  v.pipe(
    v.string(),
    v.description(
      "For the record of one field, with its context: the field's normalized path with * for each index, such as $['items'][*]['ssn'].",
    ),
  ),
);

/** The input of `decrypt`. */
export const decryptInput = v.strictObject({ record: recordEntry, context: contextEntry, path: pathEntry });

/** The output of `decrypt`. */
export const decryptOutput = v.strictObject({
  plaintext: v.pipe(v.string(), v.metadata({ ...BASE64, description: 'The payload, in padded standard base64.' })),
});

type Item = GivenRecord & { readonly context: RecordContext | undefined; readonly path: string | undefined };

/** The operation `decrypt`: opens a record of the session's partition. */
export const decrypt: ItemOperation<Item> = {
  parse: (value) => {
    if (value instanceof RecordBody) {
      return { record: value.record, form: 'object', context: value.context, path: undefined };
    }
    const { record, context: entries, path } = parseInput(decryptInput, value);
    const context = stringsOf(entries, 'context');
    const given = readRecord(record);
    if (path === undefined || (context !== undefined && given.form === 'json')) return { ...given, context, path };
    throw new KeyfoldError('InvalidRequest', 'path must come with a context, and with the compact record of a field.');
  },
  sizeBytes: ({ record }) => payloadBytes(record),
  run: async ({ record, form, context, path }, { session, limits }) => {
    const place = form === 'json' ? { form, path } : undefined;
    const plaintext = await sessionIn(session, context, place).decrypt(record, limits);
    const answer = `{"plaintext":"${plaintext.toString('base64')}"}`;
    freeNow(record.data);
    freeNow(plaintext);
    return answer;
  },
};
