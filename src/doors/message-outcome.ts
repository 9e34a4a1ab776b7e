import type { KeyfoldError, ErrorCode } from '../errors.ts';
import type { NotSent } from '../sqs/outbox.ts';

/** What has become of a message. */
export interface MessageOutcome {
  readonly messageId: string;
  readonly kind: 'done' | 'retried' | 'dead-lettered';
  /** `NotSent`: a queue did not take it. `Behind`: one of its group before it is to be tried again. */
  readonly code?: ErrorCode | 'NotSent' | 'Behind';
  readonly error?: KeyfoldError | NotSent;
}
