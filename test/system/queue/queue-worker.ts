/**
 * An execution environment of the queue function, in a process that tests can kill. It runs the events that its parent
 * sends. If `FLAW` is set, it acknowledges messages before it sends their results.
 */
import type { Context, SQSEvent } from 'aws-lambda';
import { handler } from '../../../handlers/queue.ts';

/** A command of the parent process. */
export interface Invocation {
  readonly event: SQSEvent;
  readonly timeoutMs: number;
}

/** The reply to the parent process. */
export type Outcome = { readonly result: unknown } | { readonly error: string };

const answer = (outcome: Outcome): void => void process.send?.(outcome);

process.on('message', ({ event, timeoutMs }: Invocation) => {
  const endsAtMs = Date.now() + timeoutMs;
  const context = { getRemainingTimeInMillis: () => endsAtMs - Date.now() } as Context;
  if (process.env['FLAW'] !== undefined) answer({ result: { batchItemFailures: [] } });
  handler(event, context).then(
    (result) => answer({ result }),
    (error: unknown) => answer({ error: String(error) }),
  );
});
process.on('disconnect', () => process.exit());
process.send?.('loaded');
