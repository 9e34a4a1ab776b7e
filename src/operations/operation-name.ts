/** Every operation, by the name that callers use. */
export const OPERATION_NAMES = [
  'encrypt',
  'decrypt',
  'rewrap',
  'encrypt-batch',
  'decrypt-batch',
  'rewrap-batch',
  'encrypt-fields',
  'decrypt-fields',
] as const;

/** The name of an operation. */
export type OperationName = (typeof OPERATION_NAMES)[number];

/** Whether a name from outside is an operation's. */
export function isOperationName(name: unknown): name is OperationName {
  return OPERATION_NAMES.includes(name as OperationName);
}

/** What it is that an operation does, however many at once: the right to do it is granted by this. */
export function actionOf(name: OperationName): 'encrypt' | 'decrypt' | 'rewrap' {
  return name.replace(/-.*/, '') as ReturnType<typeof actionOf>;
}
