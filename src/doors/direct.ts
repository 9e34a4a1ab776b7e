import middy from '@middy/core';
import type { Context } from 'aws-lambda';
import type { KeyfoldError } from '../errors.ts';
import { isOnFields } from '../operations/operation-name.ts';
import { audited, type AuditSubject } from './audit.ts';
import { isInvocation, unexpectedEvent } from './event-source.ts';
import { exactJsonText, exactValue } from './exact-json.ts';
import { readInvocation } from './invocation.ts';
import { MAX_ANSWER_BYTES, perform, type DoorOptions } from './perform.ts';
import { statusOf, toKeyfoldError } from './problem.ts';

const EXPECTED = 'a direct invocation such as {"operation":"encrypt","partition":"tenant-1","plaintext":"aGVsbG8="}';

/** A handler for direct invocations. Its event is JSON that Lambda has parsed; Lambda writes its result as JSON. */
export type DirectHandler = (event: unknown, context: Context) => Promise<unknown>;

/**
 * The door for direct invocation: the event says what is asked (docs/direct.md), and the result is what HTTP would answer with.
 * A failure is thrown with its code as the error's name, by which Step Functions and callers tell failures apart.
 */
export function directDoor(options: DoorOptions): DirectHandler {
  const { telemetry } = options;
  return middy<unknown, unknown>({ timeoutEarlyInMillis: 0 })
    .before(({ context }) => telemetry.begin(context))
    .handler(async (event, context) => {
      try {
        return await answer(options, event, context);
      } catch (thrown) {
        const error = toKeyfoldError(thrown);
        telemetry.requestFailed(error, statusOf(error.code));
        throw new FailedInvocation(error);
      } finally {
        telemetry.flush();
      }
    });
}

async function answer(options: DoorOptions, event: unknown, context: Context): Promise<unknown> {
  if (!isInvocation(event)) throw unexpectedEvent(EXPECTED);
  const call = readInvocation({ value: event, text: () => exactJsonText(event) });
  const { operation, partition } = call;
  const asked: AuditSubject = {
    door: 'direct',
    requestId: context.awsRequestId,
    principal: null,
    operation,
    partition,
  };
  return audited(options.telemetry, asked, async (trail) => {
    const remainingMs = context.getRemainingTimeInMillis();
    const text = await perform(options, call, { remainingMs, answerFits, trail });
    // Only a document holds numbers and names that others have written.
    return isOnFields(operation) ? exactValue(text) : (JSON.parse(text) as unknown);
  });
}

function answerFits(text: string): boolean {
  return Buffer.byteLength(text) <= MAX_ANSWER_BYTES;
}

/**
 * What Lambda hands to the caller as `errorType` and `errorMessage`, and writes to the log. It hands over the stack and logs
 * what hangs on an error, too: so there is no cause, and a stack of one line. The causes have been logged before.
 */
class FailedInvocation extends Error {
  constructor({ code, message }: KeyfoldError) {
    super(message);
    this.name = code;
    this.stack = `${code}: ${message}`;
  }
}
