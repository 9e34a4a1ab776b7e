/**
 * The action of each operation. Operators grant permissions per action, so `encrypt-batch` needs the right to
 * `encrypt`.
 */
export const ACTION_OF = {
  encrypt: 'encrypt',
  decrypt: 'decrypt',
  rewrap: 'rewrap',
  'encrypt-batch': 'encrypt',
  'decrypt-batch': 'decrypt',
  'rewrap-batch': 'rewrap',
  'encrypt-fields': 'encrypt',
  'decrypt-fields': 'decrypt',
} as const;

/** The name of an operation, as callers write it. */
export type OperationName = keyof typeof ACTION_OF;

/** The names of all operations. */
export const OPERATION_NAMES = Object.keys(ACTION_OF) as OperationName[];

/** Whether an untrusted value is the name of an operation. */
export function isOperationName(name: unknown): name is OperationName {
  return typeof name === 'string' && Object.hasOwn(ACTION_OF, name);
}

/** Whether an operation encrypts or decrypts fields of a document. */
export function isOnFields(name: OperationName): boolean {
  return name === 'encrypt-fields' || name === 'decrypt-fields';
}
