import type { DoorConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import type { Clock } from '../async/clock.ts';
import type { SessionFactory } from '../envelope/session-factory.ts';
import type { OperationName } from '../operations/operation-name.ts';
import { limitAnswer, type OperationRequest } from '../operations/operation.ts';
import { OPERATIONS } from '../operations/operations.ts';
import type { AuditTrail } from './audit.ts';
import { isGranted } from './authorize.ts';
import type { Telemetry } from './telemetry.ts';

/** Dependencies of every door that runs operations. */
export interface DoorOptions {
  readonly keyfold: SessionFactory;
  readonly telemetry: Telemetry;
  readonly config: DoorConfig;
  /** The clock that `keyfold` uses. */
  readonly now: Clock;
}

/** The operation that a caller requests, with its partition and input. */
export interface Call {
  readonly partition: string;
  readonly operation: OperationName;
  readonly request: OperationRequest;
}

/** Limits and callbacks that a door sets for one call. */
export interface Allowance {
  /**
   * The time until the invocation must return, in milliseconds. {@link perform} subtracts the configured deadline
   * margin.
   */
  readonly remainingMs: number;
  /**
   * Returns whether the door can return this response. The argument is the response's JSON text. See
   * {@link OperationContext}.
   */
  readonly answerFits: (answer: string) => boolean;
  readonly trail: AuditTrail;
  /**
   * Called with the errors of failed batch items, in addition to logging. If it throws, the call fails with that error.
   */
  readonly itemsFailed?: (errors: readonly KeyfoldError[]) => void;
}

/**
 * The size limit of a response. It is a little below Lambda's limit of 6 MB, because headers and other members need
 * some space.
 */
export const MAX_ANSWER_BYTES = 6_000_000;

/**
 * Runs an operation, if this function is configured to serve the operation and the partition.
 * @returns the response as JSON text
 * @throws KeyfoldError `Forbidden`, before any key is touched, if the function does not serve the request;
 * `PayloadTooLarge` if the response does not fit; or any error of the operation
 */
export async function perform(
  { keyfold, telemetry, config, now }: DoorOptions,
  { partition, operation, request }: Call,
  { remainingMs, answerFits, trail, itemsFailed }: Allowance,
): Promise<string> {
  const { operations, partitions } = config.serves;
  if (operations?.includes(operation) === false) {
    throw new KeyfoldError('Forbidden', 'This function does not serve that operation.');
  }
  if (partitions?.some((grant) => isGranted(grant, partition)) === false) {
    throw new KeyfoldError('Forbidden', 'This function does not serve that partition.');
  }
  const answer = await OPERATIONS[operation](request, {
    session: keyfold.session(partition, trail.keyUsed),
    limits: { deadlineAtMs: now() + remainingMs - config.deadlineMarginMs },
    plaintextLimitBytes: config.plaintextLimitBytes,
    maxItems: config.maxItems,
    answerFits,
    itemsCounted: trail.itemsCounted,
    itemsFailed: (errors) => {
      telemetry.itemsFailed(errors);
      trail.itemsFailed(errors.length);
      itemsFailed?.(errors);
    },
  });
  limitAnswer(answer, { answerFits });
  return answer;
}
