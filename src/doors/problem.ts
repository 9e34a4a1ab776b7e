import { KeyfoldError, type ErrorCode } from '../errors.ts';

/** The response to an HTTP request, in the form that HTTP APIs, REST APIs and function URLs all accept. */
export interface HttpAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Set for payload format 1.0. */
  readonly isBase64Encoded?: false;
}

/** The HTTP status (RFC 9110) of each error code. */
const STATUSES: Record<ErrorCode, number> = {
  InvalidConfiguration: 500,
  InvalidRequest: 400,
  Unauthenticated: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  UnsupportedMediaType: 415,
  PayloadTooLarge: 413,
  FieldNotFound: 422,
  ContextRequired: 422,
  RecordUnreadable: 422,
  PartitionErased: 410,
  KeyNotYetVisible: 503,
  KmsThrottled: 503,
  KmsUnavailable: 503,
  KmsMisconfigured: 500,
  KeyRowUnreadable: 500,
  MetastoreUnavailable: 503,
  NotReady: 503,
  DeadlineExceeded: 504,
  Internal: 500,
};

/** The problem titles that are not the words of their code. */
const TITLES: Readonly<Partial<Record<ErrorCode, string>>> = {
  Unauthenticated: 'Not authenticated',
  Internal: 'Internal error',
};

const MAX_RETRY_SECONDS = 5;

/** The HTTP status of an error. */
export function statusOf(code: ErrorCode): number {
  return STATUSES[code];
}

/**
 * Converts a thrown value to a `KeyfoldError`. Any other value becomes the cause of an `Internal` error, and only the
 * log shows that cause.
 */
export function toKeyfoldError(thrown: unknown): KeyfoldError {
  if (thrown instanceof KeyfoldError) return thrown;
  return new KeyfoldError('Internal', 'An internal error occurred. The log has its cause.', { cause: thrown });
}

/**
 * Writes an error as a problem document (RFC 9457). If the error is retryable, the response includes a jittered
 * Retry-After.
 */
export function problemResponse(error: KeyfoldError, requestId: string): HttpAnswer {
  const { code, message: detail } = error;
  const status = STATUSES[code];
  const title = TITLES[code] ?? wordsOf(code);
  const problem = { type: `urn:keyfold:error:${code}`, title, status, code, detail, requestId };
  const headers = { 'content-type': 'application/problem+json', 'cache-control': 'no-store' };
  if (!error.retryable) return { statusCode: status, headers, body: JSON.stringify(problem) };
  const retryAfterSeconds = 1 + Math.floor(Math.random() * MAX_RETRY_SECONDS);
  return {
    statusCode: status,
    headers: { ...headers, 'retry-after': String(retryAfterSeconds) },
    body: JSON.stringify({ ...problem, retryAfterSeconds }),
  };
}

/** The words of an error code, such as `KMS throttled` for `KmsThrottled`. */
function wordsOf(code: ErrorCode): string {
  return code.replaceAll(/\B[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).replace('Kms', 'KMS');
}
