import type { DoorConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import type { Clock } from '../async/clock.ts';
import type { SessionFactory } from '../envelope/session.ts';
import type { OperationName } from '../operations/operation-name.ts';
import { limitAnswer, type OperationRequest } from '../operations/operation.ts';
import { OPERATIONS } from '../operations/operations.ts';
import type { AuditTrail } from './audit.ts';
import { isGranted } from './authorize.ts';
import type { Telemetry } from './telemetry.ts';

/** What every door to the operations needs. */
export interface DoorOptions {
  readonly keyfold: SessionFactory;
  readonly telemetry: Telemetry;
  readonly config: DoorConfig;
  /** The clock that `keyfold` goes by. */
  readonly now: Clock;
}

/** What a caller asks for. */
export interface Call {
  readonly partition: string;
  readonly operation: OperationName;
  readonly request: OperationRequest;
}

/** What a door allows the work on one call. */
export interface Allowance {
  /** How long until the answer must be there. */
  readonly remainingMs: number;
  /** See {@link OperationContext}. */
  readonly answerFits: (answer: string) => boolean;
  readonly trail: AuditTrail;
  /** Told, besides the log, of the items of a batch that failed. */
  readonly itemsFailed?: (errors: readonly KeyfoldError[]) => void;
}

/** A Lambda answers with 6 MB at most; a little is left for what is around the answer. */
export const MAX_ANSWER_BYTES = 6_000_000;

/**
 * Does what a call asks for, if this function serves that.
 * @returns the answer as JSON text
 * @throws KeyfoldError `Forbidden` before any key is touched, `PayloadTooLarge` for an answer that does not fit, or whatever the
 * operation throws
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
