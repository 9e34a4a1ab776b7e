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

/** An operation as it is told to those who call it. */
export interface OperationSchemas {
  /** What it takes: what requests are checked with, but that of an item or a record more is said here. */
  readonly input: v.GenericSchema;
  /** What it answers with. */
  readonly output: v.GenericSchema;
  /** What it fails with, beside what any request can. */
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

/** A batch of an operation: what its items fail with is in their places. */
function batched({ input, output, codes }: OperationSchemas, more?: v.ObjectEntries): OperationSchemas {
  return { input: batchInput(input, more), output: batchOutput(output, ['InvalidRequest', ...codes]), codes: [] };
}

const encrypt = { input: encryptInput, output: encryptOutput, codes: SEALING };
const decrypt = { input: decryptInput, output: decryptOutput, codes: OPENING };
const rewrap = { input: rewrapInput, output: rewrapOutput, codes: OPENING };

/** Every operation's schemas, by its name: for the API's document, not for its handlers. */
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
    // With skipSealed, a key that another region has just made may be asked for.
    codes: ['FieldNotFound', 'KeyNotYetVisible', ...SEALING],
  },
  'decrypt-fields': { input: decryptFieldsInput, output: documentOutput, codes: ['FieldNotFound', ...OPENING] },
};
