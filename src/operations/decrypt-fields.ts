import * as v from 'valibot';
import { KeyfoldError } from '../errors.ts';
import {
  allowMissingEntry,
  documentEntries,
  fieldsEntry,
  countValues,
  readDocument,
  writeDocument,
  type JsonDocument,
} from './document.ts';
import { bindingEntries, fieldSessions } from './field-context.ts';
import { selectValues, withDescendants } from './field-paths.ts';
import type { JsonValue } from './json-text.ts';
import { allEnded, limitPlaintext, parseInput, type Operation } from './operation.ts';
import { payloadBytes } from './record.ts';
import { openField, readSealedField, sealedTextOf } from './sealed-field.ts';

/** The input of `decrypt-fields`: a document, and `fields` or `all` to select the values. */
export const decryptFieldsInput = v.strictObject({
  ...documentEntries,
  fields: v.optional(fieldsEntry),
  all: v.optional(
    v.pipe(v.literal(true), v.description('In place of fields: decrypts every compact record in the document.')),
  ),
  allowMissing: v.optional(allowMissingEntry),
  ...bindingEntries,
});

/** Decrypts the selected compact records of a document, or all of them, and replaces each with its plaintext value. */
export const decryptFields: Operation = async (request, context) => {
  const { documentText, fields, all, allowMissing, ...binding } = parseInput(decryptFieldsInput, request.value);
  if ((fields === undefined) === (all === undefined)) {
    throw new KeyfoldError('InvalidRequest', 'The request must have either fields or "all": true.');
  }
  if (all !== undefined && allowMissing !== undefined) {
    throw new KeyfoldError('InvalidRequest', 'allowMissing must come with fields, not with all.');
  }
  const document = readDocument(request, documentText);
  const claims = fields === undefined ? allClaims(document) : selectedClaims(document, fields, allowMissing ?? false);
  countValues(
    claims.map(([value]) => value),
    context,
  );
  const sealed = claims.map(([value, text]) => [value, readSealedField(text)] as const);
  limitPlaintext(
    sealed.map(([, { record }]) => payloadBytes(record)),
    context,
  );
  const batch = context.session.batch({ shareDataRowKey: false });
  const fieldsFound = claims.map(([value]) => value);
  const sessionOf = fieldSessions(binding, document, fieldsFound, batch);
  // Make every session before any key is touched: making a session checks the field's place, and even the last field's
  // place may be invalid.
  const work = sealed.map(([value, compact]) => {
    return { value, compact, session: sessionOf?.(value, compact.kind) ?? batch };
  });
  const opened = await allEnded(
    work.map(async ({ value, compact, session }) => {
      return [value, await openField(compact, { ...context, session })] as const;
    }),
  );
  return writeDocument(document, opened);
};

type Claim = readonly [value: JsonValue, compact: string];

function allClaims({ text, root }: JsonDocument): Claim[] {
  const claims: Claim[] = [];
  for (const value of withDescendants([root])) {
    const compact = sealedTextOf(text, value);
    if (compact !== undefined) claims.push([value, compact]);
  }
  return claims.toSorted(([a], [b]) => a.start - b.start);
}

function selectedClaims({ text, root }: JsonDocument, fields: readonly string[], allowMissing: boolean): Claim[] {
  return selectValues(root, fields, { allowMissing }).map((value) => {
    const compact = sealedTextOf(text, value);
    if (compact !== undefined) return [value, compact];
    throw new KeyfoldError('InvalidRequest', 'The fields select a value that is not a compact record.');
  });
}
