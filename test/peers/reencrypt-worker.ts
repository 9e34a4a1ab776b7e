/** Runs one invocation of handlers/reencrypt.ts in a process of its own. The event and the answer are messages. */
import type { Context } from 'aws-lambda';
import { handler } from '../../handlers/reencrypt.ts';

process.once('message', ({ event, remainingMs }: { event: unknown; remainingMs: number }) => {
  const context = { getRemainingTimeInMillis: () => remainingMs } as Context;
  handler(event, context).then(
    (answer) => process.send?.({ answer }),
    (error: Error) => process.send?.({ errorType: error.name, errorMessage: error.message }),
  );
});
