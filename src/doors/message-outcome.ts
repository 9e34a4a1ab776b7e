import type { KeyfoldError, ErrorCode } from '../errors.ts';
import type { NotSent } from '../sqs/outbox.ts';

/** The outcome of one queue message. */
export interface MessageOutcome {
  readonly messageId: string;
  readonly kind: 'done' | 'retried' | 'dead-lettered';
  /**
   * Why the message failed. `NotSent`: a queue did not accept the outgoing message. `Behind`: an earlier message of its
   * FIFO group is retried first. Undefined if the message is done.
   */
  readonly code?: ErrorCode | 'NotSent' | 'Behind';
  readonly error?: KeyfoldError | NotSent;
}
