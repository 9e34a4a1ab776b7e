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
 * Creates the door for direct invocation. The event names the operation and the partition (docs/reference/direct-invocation.md). The result
 * is the body that the HTTP door would send. A failure is thrown with its code as the error name, so that Step
 * Functions and other callers can match on the name.
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
  const subject: AuditSubject = {
    door: 'direct',
    requestId: context.awsRequestId,
    principal: null,
    operation,
    partition,
  };
  return audited(options.telemetry, subject, async (trail) => {
    const remainingMs = context.getRemainingTimeInMillis();
    const text = await perform(options, call, { remainingMs, answerFits, trail });
    // Only documents hold numbers and names of the caller's own, which JSON.parse might change.
    return isOnFields(operation) ? exactValue(text) : (JSON.parse(text) as unknown);
  });
}

function answerFits(text: string): boolean {
  return Buffer.byteLength(text) <= MAX_ANSWER_BYTES;
}

/**
 * The error that Lambda returns to the caller as `errorType` and `errorMessage`. Lambda also returns the stack and logs
 * every property of the error. This class therefore has a stack of one line and no cause; the door has already logged
 * the causes.
 */
class FailedInvocation extends Error {
  constructor({ code, message }: KeyfoldError) {
    super(message);
    this.name = code;
    this.stack = `${code}: ${message}`;
  }
}
