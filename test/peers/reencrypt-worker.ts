/**
 * Runs one invocation of handlers/reencrypt.ts in its own process. The parent sends the event in a message, and
 * receives the result in another.
 */
import type { Context } from 'aws-lambda';
import { handler } from '../../handlers/reencrypt.ts';

process.once('message', ({ event, remainingMs }: { event: unknown; remainingMs: number }) => {
  const context = { getRemainingTimeInMillis: () => remainingMs } as Context;
  handler(event, context).then(
    (answer) => process.send?.({ answer }),
    (error: Error) => process.send?.({ errorType: error.name, errorMessage: error.message }),
  );
});
