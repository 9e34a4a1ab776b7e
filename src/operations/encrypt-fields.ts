import * as v from 'valibot';
import { compactLength, encodeCompactRecord } from '../records/compact-record.ts';
import { KeyfoldError } from '../errors.ts';
import {
  allowMissingEntry,
  documentEntries,
  fieldsEntry,
  countValues,
  readDocument,
  writeDocument,
  type JsonDocument,
  type Replacement,
} from './document.ts';
import { selectValues } from './field-paths.ts';
import type { JsonValue } from './json-text.ts';
import {
  allEnded,
  limitAnswer,
  limitPlaintext,
  parseInput,
  type Operation,
  type OperationContext,
} from './operation.ts';
import { sharingEntry } from './record.ts';
import { openField, readSealedField, sealedTextOf } from './sealed-field.ts';

/** The input of `encrypt-fields`: a document, and the values in it to encrypt. */
export const encryptFieldsInput = v.strictObject({
  ...documentEntries,
  fields: fieldsEntry,
  allowMissing: v.optional(allowMissingEntry, false),
  skipSealed: v.optional(
    v.pipe(
      v.boolean(),
      v.description('Leaves a value unchanged if it is a compact record that this partition can decrypt.'),
    ),
    false,
  ),
  shareDataRowKey: sharingEntry,
});

/** Encrypts the JSON text of each selected value of a document, and puts compact records in their places. */
export const encryptFields: Operation = async (request, context) => {
  const {
    documentText,
    fields,
    allowMissing,
    skipSealed,
    shareDataRowKey = false,
  } = parseInput(encryptFieldsInput, request.value);
  const document = readDocument(request, documentText);
  const selected = selectValues(document.root, fields, { allowMissing });
  countValues(selected, context);
  const values = selected.map((value) => ({ value, text: Buffer.from(document.text.slice(value.start, value.end)) }));
  limitPlaintext(
    values.map(({ text }) => text.length),
    context,
  );
  const idBytes = Buffer.byteLength(context.session.keyId);
  const placeholders = values.map(({ value, text }): Replacement => {
    return [value, `"${'-'.repeat(compactLength('json', idBytes, text.length))}"`];
  });
  // Checks the size of the answer before any key is touched, because a sealed one-byte value takes about 180
  // characters.
  limitAnswer(writeDocument(document, placeholders), context);

  const within = { ...context, session: context.session.batch({ shareDataRowKey }) };
  const sealed = await allEnded(
    values.map(async ({ value, text }): Promise<Replacement[]> => {
      const stays = skipSealed && (await isSealed(document, value, within));
      return stays ? [] : [[value, await seal(text, within)]];
    }),
  );
  return writeDocument(document, sealed.flat());
};

async function seal(text: Buffer, { session, limits }: OperationContext): Promise<string> {
  const compact = encodeCompactRecord(await session.encrypt(text, limits), 'json');
  if (compact !== undefined) return `"${compact}"`;
  throw new Error('a new record has no compact form');
}

/**
 * Whether a value is a compact record that this partition can decrypt. Look-alikes are encrypted like any other value.
 */
async function isSealed({ text }: JsonDocument, value: JsonValue, context: OperationContext): Promise<boolean> {
  const compact = sealedTextOf(text, value);
  if (compact === undefined) return false;
  try {
    await openField(readSealedField(compact), context);
    return true;
  } catch (error) {
    if (error instanceof KeyfoldError && error.code === 'RecordUnreadable') return false;
    throw error;
  }
}
