import { mayFindLater } from '../connections/passing-fault.ts';
import { BOOLEAN, check, NUMBER, optional, optionsOf, STRING, type Type, type Types } from '../input/checks.ts';
import { isErrorCode, isRetryable, type ErrorCode } from '../errors.ts';

/** Whether a retry of the same request may succeed, by transport error code. */
const TRANSPORT_RETRYABLE = {
  /** The client found no AWS credentials, or API Gateway rejected them. */
  Unauthenticated: false,
  /** IAM, or a firewall or proxy in front of Keyfold, denied the request. */
  Forbidden: false,
  /** The function or the URL path does not exist. */
  NotFound: false,
  /** The request is larger than Lambda or API Gateway accepts. */
  PayloadTooLarge: false,
  /** Lambda or API Gateway throttled the request. */
  Throttled: true,
  /** Lambda, API Gateway or the credential provider failed temporarily. */
  Unavailable: true,
  /** The connection failed, or it broke before the response was complete. */
  Unreachable: true,
  /** No response arrived before the timeout of the client or of the function. */
  TimedOut: true,
  /** The function did not start, or it crashed. */
  FunctionFailed: false,
  /** The response does not come from Keyfold, or it does not fit the request. */
  UnexpectedAnswer: false,
  /**
   * The decrypted document contains a number that JavaScript cannot represent exactly. Send `documentText`, not
   * `document`.
   */
  InexactNumber: false,
  /**
   * The document contains a name that `JSON.parse` may have confused with another. Send `documentText`, not `document`.
   */
  InexactName: false,
} as const satisfies Record<string, boolean>;

/** Codes of {@link KeyfoldTransportError}: reasons why the client has no response from Keyfold. */
export type TransportErrorCode = keyof typeof TRANSPORT_RETRYABLE;

/** Details of a failure, in addition to its code. */
export interface FailureDetails {
  /** The service's operator can find the request in the logs by this ID. Absent if no response arrived. */
  readonly requestId?: string | undefined;
  /** Seconds to wait before a retry. Absent if the response had no usable `retry-after` header. */
  readonly retryAfterSeconds?: number | undefined;
}

const DETAILS: Types<FailureDetails> = { requestId: optional(STRING), retryAfterSeconds: optional(NUMBER) };

/**
 * Base class of every error that a call throws. `code` is a literal, so `switch (error.code)` narrows the type. An
 * error never contains the data of a request or a response. Its message may contain Keyfold's own explanation.
 * @example
 * try {
 *   await partition.decrypt(record);
 * } catch (error) {
 *   if (error instanceof KeyfoldClientError && error.retryable) await putBackIntoQueue(job);
 *   else throw error;
 * }
 */
export abstract class KeyfoldClientError extends Error {
  abstract readonly code: ErrorCode | TransportErrorCode;
  /** Whether the same request may succeed later. The client throws this error only after its own retries. */
  readonly retryable: boolean;
  readonly requestId: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  /** @throws TypeError that names the parameter if it has the wrong type */
  constructor(message: string, retryable: boolean, details: FailureDetails = {}) {
    check(message, 'message', STRING);
    check(retryable, 'retryable', BOOLEAN);
    const { requestId, retryAfterSeconds } = optionsOf(details, 'details', DETAILS);
    super(message);
    this.retryable = retryable;
    this.requestId = requestId;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const SERVICE_CODE: Type = { called: 'an ErrorCode', holds: isErrorCode };
const TRANSPORT_CODE: Type = {
  called: 'a TransportErrorCode',
  holds: (code) => typeof code === 'string' && Object.hasOwn(TRANSPORT_RETRYABLE, code),
};

/** Keyfold responded that the request failed. docs/reference/errors.md lists the codes. */
export class KeyfoldServiceError extends KeyfoldClientError {
  override readonly name = 'KeyfoldServiceError';
  readonly code: ErrorCode;

  /** @throws TypeError if the code does not exist, or if the detail is not a string */
  constructor(code: ErrorCode, detail: string, details: FailureDetails = {}) {
    check(code, 'code', SERVICE_CODE);
    super(detail, isRetryable(code), details);
    this.code = code;
  }
}

/** The client received no response from Keyfold, or a response that it cannot use. */
export class KeyfoldTransportError extends KeyfoldClientError {
  override readonly name = 'KeyfoldTransportError';
  readonly code: TransportErrorCode;

  /** @throws TypeError if the code does not exist, or if the message is not a string */
  constructor(code: TransportErrorCode, message: string, details: FailureDetails = {}) {
    check(code, 'code', TRANSPORT_CODE);
    super(message, TRANSPORT_RETRYABLE[code], details);
    this.code = code;
  }
}

/**
 * Turns a failure that Keyfold reported into an error. Keyfold reports a failure in a problem document, in the error of
 * a function, or in the result of a batch item.
 * @returns undefined if this version of the client does not know the code
 */
export function serviceError(
  code: unknown,
  detail: unknown,
  details?: FailureDetails,
): KeyfoldServiceError | undefined {
  if (!isErrorCode(code)) return undefined;
  return new KeyfoldServiceError(code, typeof detail === 'string' ? detail : code, details);
}

/**
 * Turns an error of a credential provider into a transport error. The error is temporary if, for example, STS or the
 * network failed. The message contains only the error's name, because the error's text may quote a secret.
 */
export function credentialsError(thrown: unknown): KeyfoldTransportError {
  const { name } = thrown instanceof Error ? thrown : new Error();
  return mayFindLater(thrown)
    ? new KeyfoldTransportError('Unavailable', `AWS credentials are temporarily unavailable: ${name}.`)
    : new KeyfoldTransportError('Unauthenticated', `No AWS credentials were found: ${name}.`);
}

/**
 * The upper bound of `retry-after`, about 32 years. A huge number must still cause a long wait, not an immediate retry.
 */
const MAX_RETRY_AFTER_SECONDS = 999_999_999;

/** Matches the three date formats of HTTP (RFC 9110, section 5.6.7). */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w: -]+$/;

/**
 * Reads a `retry-after` header.
 * @param date the response's `date` header. A date in `retry-after` is compared with this date, because this machine's
 * clock may be wrong.
 * @returns seconds to wait, or undefined if the header contains neither seconds nor a date
 */
export function secondsOf(retryAfter: string | undefined, date: string | undefined): number | undefined {
  const asked = retryAfter ?? '';
  if (/^\d+$/.test(asked)) return Math.min(Number(asked), MAX_RETRY_AFTER_SECONDS);
  const untilMs = dateOf(asked);
  if (untilMs === undefined) return undefined;
  return Math.max(0, Math.ceil((untilMs - (dateOf(date ?? '') ?? Date.now())) / 1000));
}

/** Parses an HTTP date. Returns milliseconds since 1970, or undefined if the text is not an HTTP date. */
export function dateOf(text: string): number | undefined {
  if (!HTTP_DATE.test(text)) return undefined;
  // A date in the asctime format is in GMT, but its text does not say so.
  const ms = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  return Number.isNaN(ms) ? undefined : ms;
}

/**
 * Makes the error for a request that AWS rejected because of the time in its signature.
 * @param service `Lambda` or `The API`, for the message
 * @param offsetMs how many milliseconds this machine's clock is behind AWS's clock, or 0 if the client did not retry
 * with a corrected clock
 */
export function clockRefusal(
  service: string,
  status: number,
  offsetMs: number,
  details: FailureDetails,
): KeyfoldTransportError {
  const refused = refusedBy(service, status);
  const seconds = Math.abs(Math.round(offsetMs / 1000));
  const direction = offsetMs > 0 ? 'behind' : 'ahead';
  const message =
    offsetMs === 0
      ? `${refused}: check this machine's clock and its credentials.`
      : `${refused}, even after the client signed with AWS's time. This machine's clock is ${seconds} s ${direction}.`;
  return refusal(service, status, details, message);
}

/**
 * Makes the error for an HTTP status of Lambda or API Gateway.
 * @param service `Lambda` or `The API`, for the message
 * @param message replaces the default message
 */
export function refusal(
  service: string,
  status: number,
  details: FailureDetails,
  message = `${refusedBy(service, status)}.`,
): KeyfoldTransportError {
  return new KeyfoldTransportError(codeOf(status), message, details);
}

function refusedBy(service: string, status: number): string {
  return `${service} answered with status ${status}`;
}

function codeOf(status: number): TransportErrorCode {
  switch (status) {
    case 401:
      return 'Unauthenticated';
    case 403:
      return 'Forbidden';
    case 404:
      return 'NotFound';
    case 408:
      return 'TimedOut';
    case 413:
      return 'PayloadTooLarge';
    case 429:
      return 'Throttled';
    // 425 Too Early: the server refused to process early data. A retry on an established connection may succeed.
    case 425:
      return 'Unavailable';
    // 501 Not Implemented, 505 HTTP Version Not Supported, 511 Network Authentication Required: a retry gets the same
    // response.
    case 501:
    case 505:
    case 511:
      return 'UnexpectedAnswer';
    default:
      return status >= 500 ? 'Unavailable' : 'UnexpectedAnswer';
  }
}
