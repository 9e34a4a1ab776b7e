import type { Context } from 'aws-lambda';
import type { ErrorCode, KeyfoldError } from '../errors.ts';
import { toKeyfoldError } from './problem.ts';
import type { RequestLog } from './request-log.ts';

/** The functions that every door calls at the beginning and at the end of an invocation. */
export interface InvocationLog extends Pick<RequestLog, 'requestFailed'> {
  /** Adds the invocation to all following log lines. The event is never logged, because it may contain plaintext. */
  begin(invocation: Context): void;
  /** Writes the metrics that were collected since the last flush. */
  flush(): void;
}

/** A Lambda handler. */
export type Handler<Event, Answer> = (event: Event, context: Context) => Promise<Answer>;

/**
 * Makes a Lambda handler from a door. It handles the beginning, the failure and the end of every invocation. Every log
 * line has the request id. The handler logs and counts a failure once, and writes the metrics before it responds.
 * @param answer returns the door's response, or throws
 * @throws FailedInvocation if `answer` throws
 */
export function doorHandler<Event, Answer>(log: InvocationLog, answer: Handler<Event, Answer>): Handler<Event, Answer> {
  return async (event, context) => {
    try {
      log.begin(context);
      return await answer(event, context);
    } catch (thrown) {
      const error = toKeyfoldError(thrown);
      log.requestFailed(error);
      throw new FailedInvocation(error);
    } finally {
      log.flush();
      forgetLastMatch();
    }
  };
}

/**
 * Makes V8 drop the last text that a regular expression matched. This text is often the document of a request. V8 keeps
 * it for the static properties of `RegExp`, such as `RegExp.input`.
 */
function forgetLastMatch(): void {
  /(?:)/.test('');
}

/**
 * The error that Lambda returns to the caller as `errorType` and `errorMessage`. Lambda also returns the stack, and
 * logs every property of the error. So this class has a stack of one line, and neither a cause nor other properties
 * that Lambda would log. The door has already logged the causes.
 */
export class FailedInvocation extends Error {
  readonly #reason: KeyfoldError;

  constructor(reason: KeyfoldError) {
    super(reason.message);
    this.name = reason.code;
    this.stack = `${reason.code}: ${reason.message}`;
    this.#reason = reason;
  }

  /** The error that the door has logged. */
  get reason(): KeyfoldError {
    return this.#reason;
  }

  get code(): ErrorCode {
    return this.#reason.code;
  }
}
