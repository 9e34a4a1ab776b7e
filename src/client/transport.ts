import type { OperationName } from '../operations/operation-name.ts';

/** What is asked of Keyfold. */
export interface ClientCall {
  readonly partition: string;
  readonly operation: OperationName;
  /** The members of the request. */
  readonly members: Readonly<Record<string, unknown>>;
}

/** What Keyfold has answered: JSON, parsed and not looked at. */
export interface ClientAnswer {
  readonly value: unknown;
  readonly requestId?: string | undefined;
}

/**
 * How long after a freeze of the process a call in flight waits for a byte of its answer, in milliseconds. A function that
 * starts takes about a second.
 */
export const ANSWER_AFTER_FREEZE_MS = 2000;

/** A way to Keyfold. It tries once: when to try again is the client's to say. */
export interface Transport {
  /**
   * @param signal ends the attempt; what is thrown then does not matter
   * @throws KeyfoldClientError; anything else is a fault in how the transport was set up, and is not tried again
   */
  send(call: ClientCall, signal: AbortSignal): Promise<ClientAnswer>;
}
