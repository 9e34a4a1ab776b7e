/** An error that SQS's API answers with. */
export class SqsError extends Error {
  override readonly name = 'SqsError';
  /** SQS's own name for it, such as `QueueDoesNotExist`. */
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

/** What SQS says of a parameter that it does not take. */
export function invalid(message: string): SqsError {
  return new SqsError('InvalidParameterValue', message);
}

/** The emulator's answer to something that SQS knows and the emulator does not. */
export function unsupported(what: string): SqsError {
  return new SqsError('UnsupportedOperation', `The emulator does not support ${what}.`);
}
