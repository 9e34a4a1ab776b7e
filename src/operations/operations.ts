import { decryptFields } from './decrypt-fields.ts';
import { decrypt } from './decrypt.ts';
import { encryptFields } from './encrypt-fields.ts';
import { encrypt } from './encrypt.ts';
import { batch, single } from './item-operation.ts';
import type { OperationName } from './operation-name.ts';
import type { Operation } from './operation.ts';
import { sharingEntry } from './record.ts';
import { rewrap } from './rewrap.ts';

/** The implementation of every operation, keyed by the operation's name. */
export const OPERATIONS: Readonly<Record<OperationName, Operation>> = {
  encrypt: single(encrypt),
  decrypt: single(decrypt),
  rewrap: single(rewrap),
  'encrypt-batch': batch(encrypt, { shareDataRowKey: sharingEntry }),
  'decrypt-batch': batch(decrypt),
  'rewrap-batch': batch(rewrap),
  'encrypt-fields': encryptFields,
  'decrypt-fields': decryptFields,
};
