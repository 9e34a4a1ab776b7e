import { KeyfoldError, type ErrorCode } from '../errors.ts';

/** The response to an HTTP request, in the form that HTTP APIs, REST APIs and function URLs all accept. */
export interface HttpAnswer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Set for payload format 1.0. */
  readonly isBase64Encoded?: false;
}

/** The HTTP status (RFC 9110) and the problem title of each error code. */
const PROBLEMS: Record<ErrorCode, readonly [status: number, title: string]> = {
  InvalidConfiguration: [500, 'Invalid configuration'],
  InvalidRequest: [400, 'Invalid request'],
  Unauthenticated: [401, 'Not authenticated'],
  Forbidden: [403, 'Forbidden'],
  NotFound: [404, 'Not found'],
  MethodNotAllowed: [405, 'Method not allowed'],
  UnsupportedMediaType: [415, 'Unsupported media type'],
  PayloadTooLarge: [413, 'Payload too large'],
  FieldNotFound: [422, 'Field not found'],
  ContextRequired: [422, 'Context required'],
  RecordUnreadable: [422, 'Record unreadable'],
  PartitionErased: [410, 'Partition erased'],
  KeyNotYetVisible: [503, 'Key not yet visible'],
  KmsThrottled: [503, 'KMS throttled'],
  KmsUnavailable: [503, 'KMS unavailable'],
  KmsMisconfigured: [500, 'KMS misconfigured'],
  KeyRowUnreadable: [500, 'Key row unreadable'],
  MetastoreUnavailable: [503, 'Metastore unavailable'],
  NotReady: [503, 'Not ready'],
  DeadlineExceeded: [504, 'Deadline exceeded'],
  Internal: [500, 'Internal error'],
};

const MAX_RETRY_SECONDS = 5;

/** The HTTP status of an error. */
export function statusOf(code: ErrorCode): number {
  return PROBLEMS[code][0];
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
  const [status, title] = PROBLEMS[code];
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
