import type { OutgoingMessage } from './message.ts';

/** Why a message was not sent, or may not have been. */
export interface SendFault {
  /** SQS's name for it, or the network's: all that is kept, since a text may quote the message. */
  readonly errorName: string;
  /** Whether this very message may well be taken in a moment. */
  readonly isTransient: boolean;
  /** Whether the queue refuses what the message holds: its length or its characters. No later try would mend that. */
  readonly refusesContent?: boolean;
}

/** A message received, not to be seen again for a while. */
export interface VisibilityChange {
  readonly receiptHandle: string;
  readonly delaySeconds: number;
}

/** The queues that results go to and that messages come from. Its methods do not throw: what failed is told. */
export interface Queues {
  /**
   * Sends messages in one call, at most ten and together of one message's size, in the order given.
   * @returns for each of them undefined, or why it was not sent
   */
  send(
    queueUrl: string,
    messages: readonly OutgoingMessage[],
    signal: AbortSignal,
  ): Promise<readonly (SendFault | undefined)[]>;
  /**
   * Hides messages that a queue has handed out. One for which that fails comes back when the queue's own time is up.
   * @returns the name of the error for each that could not be hidden
   */
  changeVisibility(
    queueArn: string,
    messages: readonly VisibilityChange[],
    signal: AbortSignal,
  ): Promise<readonly string[]>;
}
