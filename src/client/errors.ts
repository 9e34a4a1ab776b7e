import { isThrottlingError, isTransientError } from '@smithy/core/retry';
import { BOOLEAN, check, NUMBER, optional, optionsOf, STRING, type Type, type Types } from '../input/checks.ts';
import { isErrorCode, isRetryable, type ErrorCode } from '../errors.ts';

/** Whether the same request may succeed when it is sent again, for each way in which Keyfold's answer may not come through. */
const TRANSPORT_RETRYABLE = {
  /** There are no credentials and none will come, or the gateway takes them for nobody's. */
  Unauthenticated: false,
  /** IAM, or what stands before Keyfold, does not let the caller do this. */
  Forbidden: false,
  /** There is no such function or no such path. */
  NotFound: false,
  /** More than Lambda or the gateway takes. */
  PayloadTooLarge: false,
  /** Lambda or the gateway throttles. */
  Throttled: true,
  /** Lambda or the gateway has failed, or what gives credentials. */
  Unavailable: true,
  /** The network: no connection, or none that lasted until the answer. */
  Unreachable: true,
  /** No answer in the time that the client allows. */
  TimedOut: true,
  /** The function did not start, or died. */
  FunctionFailed: false,
  /** An answer that is not Keyfold's, or is none to what was asked. */
  UnexpectedAnswer: false,
  /** A document came back with a number that JavaScript cannot hold exactly: ask with `documentText`. */
  InexactNumber: false,
  /** A document came back with a name that JavaScript may have taken for another: ask with `documentText`. */
  InexactName: false,
} as const satisfies Record<string, boolean>;

/** Why no answer of Keyfold's came through. */
export type TransportErrorCode = keyof typeof TRANSPORT_RETRYABLE;

/** What is known of a failure besides its code. */
export interface FailureDetails {
  /** By which the service's owner finds it in a log; absent where nobody has answered. */
  readonly requestId?: string | undefined;
  /** How long to wait before another try, where the service has said. */
  readonly retryAfterSeconds?: number | undefined;
}

const DETAILS: Types<FailureDetails> = { requestId: optional(STRING), retryAfterSeconds: optional(NUMBER) };

/**
 * Every failure of a call. `code` is a literal, so that `switch (error.code)` narrows. Nothing of what was sent or answered is
 * in one, but Keyfold's own words on what was wrong.
 */
export abstract class KeyfoldClientError extends Error {
  abstract readonly code: ErrorCode | TransportErrorCode;
  /** Whether the same request may succeed later. The client has tried again already, as often as it was allowed. */
  readonly retryable: boolean;
  readonly requestId: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  /** @throws TypeError naming a parameter of a wrong type */
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

/** Keyfold has answered that the request failed (docs/http.md lists the codes). */
export class KeyfoldServiceError extends KeyfoldClientError {
  override readonly name = 'KeyfoldServiceError';
  readonly code: ErrorCode;

  /** @throws TypeError for a code that there is not, and for a detail that is not a string */
  constructor(code: ErrorCode, detail: string, details: FailureDetails = {}) {
    check(code, 'code', SERVICE_CODE);
    super(detail, isRetryable(code), details);
    this.code = code;
  }
}

/** Keyfold has not answered, or its answer did not come through. */
export class KeyfoldTransportError extends KeyfoldClientError {
  override readonly name = 'KeyfoldTransportError';
  readonly code: TransportErrorCode;

  /** @throws TypeError for a code that there is not, and for a message that is not a string */
  constructor(code: TransportErrorCode, message: string, details: FailureDetails = {}) {
    check(code, 'code', TRANSPORT_CODE);
    super(message, TRANSPORT_RETRYABLE[code], details);
    this.code = code;
  }
}

/**
 * A failure that Keyfold tells of, in a problem document, as a function's error or in the place of an item.
 * @returns undefined where this is no code that this version knows
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
 * Why there are no credentials. The SDK's own judgement on whether another try may find some: STS or the network may fail for a
 * moment. Of what was thrown only its name is told: its text may quote anything.
 */
export function withoutCredentials(thrown: unknown): KeyfoldTransportError {
  const error = (thrown instanceof Error ? thrown : new Error()) as Parameters<typeof isTransientError>[0];
  if (isThrottlingError(error) || isTransientError(error)) {
    return new KeyfoldTransportError('Unavailable', `There are no AWS credentials for now: ${error.name}.`);
  }
  return new KeyfoldTransportError('Unauthenticated', `There are no AWS credentials: ${error.name}.`);
}

/** Longer than any client waits. A larger number must not pass for none, which would mean to retry at once. */
const MAX_RETRY_AFTER_SECONDS = 999_999_999;

/** The three forms of a date in HTTP (RFC 9110, 5.6.7). */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w: -]+$/;

/**
 * How long an answer's `retry-after` header asks to wait; undefined if it names neither seconds nor a date.
 * @param date the answer's own date, by which a date is read: this machine's clock may be off
 */
export function secondsOf(retryAfter: string | undefined, date: string | undefined): number | undefined {
  const asked = retryAfter ?? '';
  if (/^\d+$/.test(asked)) return Math.min(Number(asked), MAX_RETRY_AFTER_SECONDS);
  const untilMs = dateOf(asked);
  if (untilMs === undefined) return undefined;
  return Math.max(0, Math.ceil((untilMs - (dateOf(date ?? '') ?? Date.now())) / 1000));
}

/** A date of HTTP, in milliseconds since 1970. */
export function dateOf(text: string): number | undefined {
  if (!HTTP_DATE.test(text)) return undefined;
  // The oldest of the forms does not say that it is in GMT.
  const ms = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`);
  return Number.isNaN(ms) ? undefined : ms;
}

/**
 * A signature that Lambda or a gateway has refused for its time.
 * @param offsetMs by how much the clock was found to be behind, if the request was sent once more for that
 */
export function clockRefusal(
  who: string,
  status: number,
  offsetMs: number,
  details: FailureDetails,
): KeyfoldTransportError {
  const refused = refusedBy(who, status);
  const seconds = Math.abs(Math.round(offsetMs / 1000));
  const direction = offsetMs > 0 ? 'behind' : 'ahead';
  const message =
    offsetMs === 0
      ? `${refused}: check this machine's clock and its credentials.`
      : `${refused}, also to a signature by its own clock. This machine's clock is ${seconds} s ${direction}.`;
  return refusal(who, status, details, message);
}

/**
 * What a status means that Lambda or a gateway, named by `who`, has answered with.
 * @param message replaces the usual one
 */
export function refusal(
  who: string,
  status: number,
  details: FailureDetails,
  message = `${refusedBy(who, status)}.`,
): KeyfoldTransportError {
  return new KeyfoldTransportError(codeOf(status), message, details);
}

function refusedBy(who: string, status: number): string {
  return `${who} has answered with the status ${status}`;
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
    // Too Early: the connection has sent the request before it was safe to.
    case 425:
      return 'Unavailable';
    // Not Implemented, HTTP Version Not Supported, Network Authentication Required: they say the same to every try.
    case 501:
    case 505:
    case 511:
      return 'UnexpectedAnswer';
    default:
      return status >= 500 ? 'Unavailable' : 'UnexpectedAnswer';
  }
}
