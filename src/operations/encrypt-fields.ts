import * as v from 'valibot';
import { compactLength, encodeCompactRecord, type CompactRecord } from '../records/compact-record.ts';
import { KeyfoldError, recordUnreadable } from '../errors.ts';
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
import { bindingEntries, fieldSessions, type FieldSession } from './field-context.ts';
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

/** The input of `encrypt-fields`: a document, and the paths of the values to encrypt. */
export const encryptFieldsInput = v.strictObject({
  ...documentEntries,
  fields: fieldsEntry,
  allowMissing: v.optional(allowMissingEntry, false),
  skipSealed: v.optional(
    v.pipe(
      v.boolean(),
      v.description(
        'Leaves a value unchanged if it is a compact record that this partition can decrypt. With a context, the record must be bound to that context and path.',
      ),
    ),
    false,
  ),
  shareDataRowKey: sharingEntry,
  ...bindingEntries,
});

/** Encrypts the JSON text of each selected value of a document. Replaces each value with its compact record. */
export const encryptFields: Operation = async (request, context) => {
  const {
    documentText,
    fields,
    allowMissing,
    skipSealed,
    shareDataRowKey = false,
    ...binding
  } = parseInput(encryptFieldsInput, request.value);
  const document = readDocument(request, documentText);
  const selected = selectValues(document.root, fields, { allowMissing });
  countValues(selected, context);
  const values = selected.map((value) => ({ value, text: Buffer.from(document.text.slice(value.start, value.end)) }));
  limitPlaintext(
    values.map(({ text }) => text.length),
    context,
  );
  const within = { ...context, session: context.session.batch({ shareDataRowKey }) };
  const sessionOf = fieldSessions(binding, document, selected, within.session);
  const idBytes = Buffer.byteLength(context.session.keyId);
  const placeholders = values.map(({ value, text }): Replacement => {
    return [value, `"${'-'.repeat(compactLength('json', idBytes, text.length, sessionOf !== undefined))}"`];
  });
  // Check the size of the response before any key is touched. The response can be far larger than the request, because
  // a sealed one-byte value takes about 180 characters.
  limitAnswer(writeDocument(document, placeholders), context);

  // Make every session before any key is touched: making a session checks the field's place, and even the last field's
  // place may be invalid.
  const work = values.map(({ value, text }) => {
    return { value, text, session: sessionOf?.(value, 'json') ?? within.session };
  });
  const sealed = await allEnded(
    work.map(async ({ value, text, session }): Promise<Replacement[]> => {
      const stays = skipSealed && (await isSealed(document, value, within, sessionOf));
      return stays ? [] : [[value, await seal(text, { ...within, session })]];
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
 * Whether a value is a compact record that this partition can decrypt at this place. If a value only looks like a
 * record, it is encrypted like any other value.
 * @throws KeyfoldError `ContextRequired` for a bound record if the request has no context; `RecordUnreadable` for a
 * record of this partition that is bound to another place or to no place, even if `unboundBefore` lets it open
 */
async function isSealed(
  { text }: JsonDocument,
  value: JsonValue,
  context: OperationContext,
  sessionOf: FieldSession | undefined,
): Promise<boolean> {
  const compact = sealedTextOf(text, value);
  const sealed = compact === undefined ? undefined : unlessMalformed(compact);
  if (sealed === undefined) return false;
  const session = sessionOf?.(value, sealed.kind) ?? context.session;
  const isBound = sealed.record.proof !== undefined;
  try {
    // Do not keep an unbound record, because the caller will treat it as bound to this place. The author of the value
    // may have copied it from another place.
    if (sessionOf !== undefined && !isBound) throw recordUnreadable('it is not bound to any context');
    await openField(sealed, { ...context, session });
    return true;
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    if (error.code !== 'RecordUnreadable' && !(error.code === 'ContextRequired' && isBound)) throw error;
    // The record has no proof and does not open. If the request has no context, the value counts as an ordinary value.
    if (sessionOf === undefined && !isBound) return false;
    if (await session.opensUnbound(sealed.record, context.limits)) throw error;
    return false;
  }
}

function unlessMalformed(compact: string): CompactRecord | undefined {
  try {
    return readSealedField(compact);
  } catch (error) {
    if (error instanceof KeyfoldError) return undefined;
    throw error;
  }
}
