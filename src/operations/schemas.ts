import type * as v from 'valibot';
import type { ErrorCode } from '../errors.ts';
import { decryptFieldsInput } from './decrypt-fields.ts';
import { decryptInput, decryptOutput } from './decrypt.ts';
import { documentOutput } from './document.ts';
import { encryptFieldsInput } from './encrypt-fields.ts';
import { encryptInput, encryptOutput } from './encrypt.ts';
import { batchInput, batchOutput } from './item-operation.ts';
import type { OperationName } from './operation-name.ts';
import { sharingEntry } from './record.ts';
import { rewrapInput, rewrapOutput } from './rewrap.ts';

/** The documentation of an operation. */
export interface OperationSchemas {
  /** The input schema. It describes items and records in more detail than the schema that checks requests. */
  readonly input: v.GenericSchema;
  /** The output schema. */
  readonly output: v.GenericSchema;
  /** The error codes of this operation, besides those that any request can have. */
  readonly codes: readonly ErrorCode[];
}

const SEALING = [
  'KmsThrottled',
  'KmsUnavailable',
  'KmsMisconfigured',
  'KeyRowUnreadable',
  'MetastoreUnavailable',
  'DeadlineExceeded',
] as const satisfies readonly ErrorCode[];
const OPENING = ['RecordUnreadable', 'KeyNotYetVisible', ...SEALING] as const satisfies readonly ErrorCode[];

/** Documents the batch form of an operation. Errors of items are part of the output, so `codes` is empty. */
function batched({ input, output, codes }: OperationSchemas, more?: v.ObjectEntries): OperationSchemas {
  return { input: batchInput(input, more), output: batchOutput(output, ['InvalidRequest', ...codes]), codes: [] };
}

const encrypt = { input: encryptInput, output: encryptOutput, codes: SEALING };
const decrypt = { input: decryptInput, output: decryptOutput, codes: OPENING };
const rewrap = { input: rewrapInput, output: rewrapOutput, codes: OPENING };

/** The schemas of every operation. Only the OpenAPI document uses them; handlers do not load them. */
export const SCHEMAS: Readonly<Record<OperationName, OperationSchemas>> = {
  encrypt,
  decrypt,
  rewrap,
  'encrypt-batch': batched(encrypt, { shareDataRowKey: sharingEntry }),
  'decrypt-batch': batched(decrypt),
  'rewrap-batch': batched(rewrap),
  'encrypt-fields': {
    input: encryptFieldsInput,
    output: documentOutput,
    // With skipSealed, a record may name a key that another region has just created and that is not replicated yet.
    codes: ['FieldNotFound', 'KeyNotYetVisible', ...SEALING],
  },
  'decrypt-fields': { input: decryptFieldsInput, output: documentOutput, codes: ['FieldNotFound', ...OPENING] },
};
