import * as v from 'valibot';
import type { ErrorCode } from '../../src/errors.ts';
import { decryptFieldsInput } from '../../src/operations/decrypt-fields.ts';
import { decryptInput, decryptOutput } from '../../src/operations/decrypt.ts';
import { encryptFieldsInput } from '../../src/operations/encrypt-fields.ts';
import { encryptInput, encryptOutput } from '../../src/operations/encrypt.ts';
import { batchInput } from '../../src/operations/item-operation.ts';
import { OPERATION_NAMES, type OperationName } from '../../src/operations/operation-name.ts';
import { sharingEntry } from '../../src/operations/record.ts';
import { rewrapInput, rewrapOutput } from '../../src/operations/rewrap.ts';
import { errorCode } from './codes.ts';

/** What the document says about an operation. */
interface DocumentedOperation {
  /**
   * The schema of the input. It describes items, records and documents in more detail than the schema that checks
   * requests.
   */
  readonly input: v.GenericSchema;
  /** The schema of the output. */
  readonly output: v.GenericSchema;
  /** The error codes of this operation, besides the codes that every request can have. */
  readonly codes: readonly ErrorCode[];
}

const SEALING = [
  'PartitionErased',
  'KmsThrottled',
  'KmsUnavailable',
  'KmsMisconfigured',
  'KeyRowUnreadable',
  'MetastoreUnavailable',
  'DeadlineExceeded',
] as const satisfies readonly ErrorCode[];
const OPENING = ['RecordUnreadable', 'KeyNotYetVisible', ...SEALING] as const satisfies readonly ErrorCode[];

const encrypt = { input: encryptInput, output: encryptOutput, codes: ['ContextRequired', ...SEALING] as const };
const decrypt = { input: decryptInput, output: decryptOutput, codes: ['ContextRequired', ...OPENING] as const };
const rewrap = { input: rewrapInput, output: rewrapOutput, codes: OPENING };

const itemError = v.strictObject({ code: errorCode, detail: v.string() });
const itemFailure = v.pipe(
  v.strictObject({ error: itemError }),
  v.description('The result of an item of a batch that failed.'),
);
const results = {
  EncryptBatchResult: v.union([encryptOutput, itemFailure]),
  DecryptBatchResult: v.union([decryptOutput, itemFailure]),
  RewrapBatchResult: v.union([rewrapOutput, itemFailure]),
};

const { document, documentText, ...encrypting } = encryptFieldsInput.entries;
const [asValue, asText] = [{ document: document.wrapped }, { documentText: documentText.wrapped }];
const { allowMissing, fields, all, context, contextFrom, bindPath } = decryptFieldsInput.entries;
const binding = { context, contextFrom, bindPath };
const selecting = { fields: fields.wrapped, allowMissing, ...binding };
const inputsOfFields = {
  EncryptDocumentFieldsRequest: v.strictObject({ ...asValue, ...encrypting }),
  EncryptDocumentTextFieldsRequest: v.strictObject({ ...asText, ...encrypting }),
  DecryptDocumentFieldsRequest: v.strictObject({ ...asValue, ...selecting }),
  DecryptDocumentTextFieldsRequest: v.strictObject({ ...asText, ...selecting }),
  DecryptDocumentRequest: v.strictObject({ ...asValue, all: all.wrapped, ...binding }),
  DecryptDocumentTextRequest: v.strictObject({ ...asText, all: all.wrapped, ...binding }),
};
const outputsOfFields = {
  DocumentAnswer: v.strictObject({ document: v.unknown() }),
  DocumentTextAnswer: v.strictObject({ documentText: v.string() }),
};
const changedDocument = (): v.GenericSchema =>
  v.union([outputsOfFields.DocumentAnswer, outputsOfFields.DocumentTextAnswer]);

/** The operations of the API. */
export const OPERATIONS: Readonly<Record<OperationName, DocumentedOperation>> = {
  encrypt,
  decrypt,
  rewrap,
  'encrypt-batch': batched(encrypt, results.EncryptBatchResult, { shareDataRowKey: sharingEntry }),
  'decrypt-batch': batched(decrypt, results.DecryptBatchResult),
  'rewrap-batch': batched(rewrap, results.RewrapBatchResult),
  'encrypt-fields': {
    input: v.union([inputsOfFields.EncryptDocumentFieldsRequest, inputsOfFields.EncryptDocumentTextFieldsRequest]),
    output: changedDocument(),
    // With skipSealed, the operation also opens the records that the fields contain already. Such a record may be bound
    // to another place. Its key may also come from another region and not be replicated yet.
    codes: ['FieldNotFound', 'ContextRequired', 'RecordUnreadable', 'KeyNotYetVisible', ...SEALING],
  },
  'decrypt-fields': {
    input: v.union([
      inputsOfFields.DecryptDocumentFieldsRequest,
      inputsOfFields.DecryptDocumentTextFieldsRequest,
      inputsOfFields.DecryptDocumentRequest,
      inputsOfFields.DecryptDocumentTextRequest,
    ]),
    output: changedDocument(),
    codes: ['FieldNotFound', 'ContextRequired', ...OPENING],
  },
};

/**
 * The schemas of the operations, keyed by name. A schema that has no name here becomes part of the schema that contains
 * it.
 */
export const OPERATION_SCHEMAS: Readonly<Record<string, v.GenericSchema>> = {
  ...Object.fromEntries(
    OPERATION_NAMES.flatMap((name) => [
      [schemaName(name, 'Request'), OPERATIONS[name].input],
      [schemaName(name, 'Answer'), OPERATIONS[name].output],
    ]),
  ),
  ...inputsOfFields,
  ...outputsOfFields,
  ...results,
  ItemFailure: itemFailure,
  ItemError: itemError,
};

/** The name of an operation's schema, such as `EncryptBatchRequest`. */
export function schemaName(operation: OperationName, of: 'Request' | 'Answer' | ''): string {
  return operation.replaceAll(/(?:^|-)(\w)/g, (_, letter: string) => letter.toUpperCase()) + of;
}

/** Documents the batch form of an operation. `codes` is empty, because the errors of items are part of the output. */
function batched(
  { input, codes }: DocumentedOperation,
  result: v.GenericSchema,
  more?: v.ObjectEntries,
): DocumentedOperation {
  const output = v.strictObject({
    results: v.pipe(
      v.array(result),
      v.description(
        `One result per item, in the order of the items. A failed item does not fail the others. Its code is one of ${['InvalidRequest', ...codes].join(', ')}.`,
      ),
    ),
  });
  return { input: batchInput(input, more), output, codes: [] };
}
