import type { KeyfoldError, ErrorCode } from '../errors.ts';
import type { NotSent } from '../sqs/outbox.ts';

/** The outcome of one queue message. */
export interface MessageOutcome {
  readonly messageId: string;
  readonly kind: 'done' | 'retried' | 'dead-lettered';
  /**
   * Why the message failed. Undefined if the kind is `done`. `NotSent` means that a queue did not accept the result or
   * the dead letter. `Behind` means that SQS must first retry an earlier message of the same FIFO group.
   */
  readonly code?: ErrorCode | 'NotSent' | 'Behind';
  readonly error?: KeyfoldError | NotSent;
}
