/** An error response of the KMS API. */
export class KmsApiError extends Error {
  override readonly name = 'KmsApiError';
  /** The name that KMS gives the error, such as `NotFoundException`. */
  readonly type: string;
  readonly status: number;

  constructor(type: string, message: string, status = 400) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

/** Makes the `ValidationException` that KMS returns for an invalid request. */
export function validation(message: string): KmsApiError {
  return new KmsApiError('ValidationException', message);
}
