import { isThrottlingError, isTransientError } from '@smithy/core/retry';
import { BOOLEAN, check, NUMBER, optional, optionsOf, STRING, type Type, type Types } from '../envelope/checks.ts';
import { isErrorCode, isRetryable, type ErrorCode } from '../envelope/errors.ts';

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

/** How long a `retry-after` header asks to wait; undefined where it names no seconds. */
export function secondsOf(retryAfter: string | null | undefined): number | undefined {
  return /^\d{1,9}$/.test(retryAfter ?? '') ? Number(retryAfter) : undefined;
}

/** What a status means that another than Keyfold has answered with: `who`, Lambda or a gateway. */
export function refusal(who: string, status: number, details: FailureDetails): KeyfoldTransportError {
  return new KeyfoldTransportError(codeOf(status), `${who} has answered with the status ${status}.`, details);
}

function codeOf(status: number): TransportErrorCode {
  switch (status) {
    case 401:
      return 'Unauthenticated';
    case 403:
      return 'Forbidden';
    case 404:
      return 'NotFound';
    case 413:
      return 'PayloadTooLarge';
    case 429:
      return 'Throttled';
    default:
      return status >= 500 ? 'Unavailable' : 'UnexpectedAnswer';
  }
}
