import type { OperationName } from '../operations/operation-name.ts';

/** One call of a Keyfold operation. */
export interface ClientCall {
  readonly partition: string;
  readonly operation: OperationName;
  /** The JSON members of the request, without the partition and the operation. */
  readonly members: Readonly<Record<string, unknown>>;
}

/** Keyfold's response: parsed JSON that the client has not checked yet. */
export interface ClientAnswer {
  readonly value: unknown;
  readonly requestId?: string | undefined;
}

/**
 * After Lambda has frozen the process, a call in progress waits this many milliseconds for the next byte of its
 * response. A cold start takes about a second.
 */
export const ANSWER_AFTER_FREEZE_MS = 2000;

/** Sends calls to Keyfold. A transport makes a single attempt, and the client decides about retries. */
export interface Transport {
  /**
   * Sends one call.
   * @param signal aborts the attempt. The client ignores errors that the transport throws after the abort.
   * @throws KeyfoldClientError. Any other error means that the configuration is wrong, and the client does not retry.
   */
  send(call: ClientCall, signal: AbortSignal): Promise<ClientAnswer>;
}
