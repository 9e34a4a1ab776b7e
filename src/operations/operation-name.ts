/** What it is that each operation does, however many at once: the right to do it is granted by this. */
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

/** The name of an operation. */
export type OperationName = keyof typeof ACTION_OF;

/** Every operation, by the name that callers use. */
export const OPERATION_NAMES = Object.keys(ACTION_OF) as OperationName[];

/** Whether a name from outside is an operation's. */
export function isOperationName(name: unknown): name is OperationName {
  return typeof name === 'string' && Object.hasOwn(ACTION_OF, name);
}

/** Whether an operation is on the fields of a document. */
export function isOnFields(name: OperationName): boolean {
  return name === 'encrypt-fields' || name === 'decrypt-fields';
}
