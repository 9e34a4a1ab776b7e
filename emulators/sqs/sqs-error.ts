/** An error response of the SQS API. */
export class SqsError extends Error {
  override readonly name = 'SqsError';
  /** The name that SQS gives the error, such as `QueueDoesNotExist`. */
  readonly type: string;
  /** The HTTP status that the API model of SQS gives the error. */
  readonly status: number;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
    this.status = type === 'ReceiptHandleIsInvalid' ? 404 : 400;
  }
}

/** Makes the error that SQS returns for an invalid parameter. */
export function invalid(message: string): SqsError {
  return new SqsError('InvalidParameterValue', message);
}

/** Makes the error that SQS returns for a request that lacks a required parameter. */
export function missing(name: string): SqsError {
  return new SqsError('MissingParameter', `The request must contain the parameter ${name}.`);
}

/** Makes the error for a JSON request that AWS cannot read. AWS returns it before the request reaches SQS. */
export function serialization(message: string): SqsError {
  return new SqsError('SerializationException', message);
}

/** Makes the error for a feature of SQS that the emulator does not support. */
export function unsupported(what: string): SqsError {
  return new SqsError('UnsupportedOperation', `The emulator does not support ${what}.`);
}
