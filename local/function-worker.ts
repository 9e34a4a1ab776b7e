/** One execution environment of a function: loads its handler and runs the events that the parent posts. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Context } from 'aws-lambda';

/** What the parent posts. */
export interface Invocation {
  readonly id: number;
  readonly event: unknown;
  readonly requestId: string;
  readonly timeoutMs: number;
}

/** What is posted back. */
export type Outcome =
  { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };

const { modulePath } = workerData as { modulePath: string };
const { handler } = (await import(modulePath)) as { handler: (event: unknown, context: Context) => Promise<unknown> };

parentPort?.on('message', ({ id, event, requestId, timeoutMs }: Invocation) => {
  const endsAtMs = Date.now() + timeoutMs;
  const context = {
    awsRequestId: requestId,
    functionName: 'keyfold-api-local',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:us-west-2:111122223333:function:keyfold-api-local',
    memoryLimitInMB: '1024',
    logGroupName: '/aws/lambda/keyfold-api-local',
    logStreamName: 'local',
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => endsAtMs - Date.now(),
  } as unknown as Context;
  handler(event, context).then(
    (result) => parentPort?.postMessage({ id, result } satisfies Outcome),
    (error: unknown) => parentPort?.postMessage({ id, error: String(error) } satisfies Outcome),
  );
});
