import type { Context } from 'aws-lambda';
import { isOnFields } from '../operations/operation-name.ts';
import { audited, type AuditSubject } from './audit.ts';
import { isInvocation, unexpectedEvent } from './event-source.ts';
import { exactJsonText, exactValue, refuseInexactNames } from './exact-json.ts';
import { doorHandler, type Handler } from './handler.ts';
import { readInvocation } from './invocation.ts';
import { MAX_ANSWER_BYTES, perform, type DoorOptions } from './perform.ts';

const EXPECTED = 'a direct invocation such as {"operation":"encrypt","partition":"tenant-1","plaintext":"aGVsbG8="}';

/**
 * Creates the door for direct invocation. Lambda has already parsed the event, which names the operation and the
 * partition (docs/reference/direct-invocation.md). The result is the body that the HTTP door would send. If the
 * operation fails, the door throws an error whose name is the code, so that Step Functions and other callers can match
 * on it.
 */
export function directDoor(options: DoorOptions): Handler<unknown, unknown> {
  return doorHandler(options.telemetry, (event, context) => answer(options, event, context));
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
    trail.requestRead(event);
    refuseInexactNames(event);
    const remainingMs = context.getRemainingTimeInMillis();
    const text = await perform(options, call, { remainingMs, answerFits, trail });
    // JSON.parse can change numbers and member names. Only documents contain numbers and names that the caller chooses,
    // so only operations on documents need the exact parser.
    return isOnFields(operation) ? exactValue(text) : (JSON.parse(text) as unknown);
  });
}

function answerFits(text: string): boolean {
  return Buffer.byteLength(text) <= MAX_ANSWER_BYTES;
}
