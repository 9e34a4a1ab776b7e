import type { OutgoingMessage } from './message.ts';

/** Why SQS did not confirm a message. The queue may nevertheless have received it. */
export interface SendFault {
  /** The name of the SQS error or the network error. The error's text is omitted, because it may quote the message. */
  readonly errorName: string;
  /** Whether a retry of the same message may succeed. */
  readonly isTransient: boolean;
  /** Whether the queue rejected the message's length or characters, so that a retry cannot help. Absent means false. */
  readonly refusesContent?: boolean;
}

/** A received message, and its new visibility timeout in seconds, counted from now. */
export interface VisibilityChange {
  readonly receiptHandle: string;
  readonly delaySeconds: number;
}

/**
 * Access to the queues from which messages come and to which results go. The methods return failures instead of
 * throwing.
 */
export interface Queues {
  /**
   * Sends messages in one call, in the given order.
   * @param messages at most {@link MAX_CALL_ENTRIES}, and in total at most {@link MAX_MESSAGE_BYTES} bytes
   * @returns one entry per message: undefined if the message was sent, otherwise the fault
   */
  send(
    queueUrl: string,
    messages: readonly OutgoingMessage[],
    signal: AbortSignal,
  ): Promise<readonly (SendFault | undefined)[]>;
  /**
   * Changes the visibility timeout of messages that the queue has delivered. If that fails for a message, the queue's
   * own visibility timeout applies.
   * @returns one error name for each failed change
   */
  changeVisibility(
    queueArn: string,
    messages: readonly VisibilityChange[],
    signal: AbortSignal,
  ): Promise<readonly string[]>;
}
