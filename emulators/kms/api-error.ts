/** An error that KMS's API answers with. */
export class KmsApiError extends Error {
  override readonly name = 'KmsApiError';
  /** KMS's own name for it, such as `NotFoundException`. */
  readonly type: string;
  readonly status: number;

  constructor(type: string, message: string, status = 400) {
    super(message);
    this.type = type;
    this.status = status;
  }
}

/** What KMS says of a request that it cannot make sense of. */
export function validation(message: string): KmsApiError {
  return new KmsApiError('ValidationException', message);
}
