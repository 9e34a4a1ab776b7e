/** The execution environment of a function. It loads the handler, and runs the events that the parent thread posts. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Context } from 'aws-lambda';

/** One invocation, as the parent thread posts it. */
export interface Invocation {
  readonly id: number;
  /** The event in JSON, as the Lambda runtime receives it. */
  readonly payload: string;
  readonly requestId: string;
  readonly timeoutMs: number;
}

/** An error of a function, in the format of the Lambda runtime. */
export interface FunctionError {
  readonly errorType: string;
  readonly errorMessage: string;
  readonly trace: readonly string[];
}

/**
 * The outcome of an invocation, as the worker posts it. The result is JSON text, because parsing it would lose digits
 * of long numbers.
 */
export type Outcome =
  { readonly id: number; readonly payload: string } | { readonly id: number; readonly error: FunctionError };

const { modulePath, functionName } = workerData as { modulePath: string; functionName: string };
const { handler } = (await import(modulePath)) as { handler: (event: unknown, context: Context) => Promise<unknown> };

parentPort?.on('message', ({ id, payload, requestId, timeoutMs }: Invocation) => {
  const endsAtMs = Date.now() + timeoutMs;
  const context = {
    awsRequestId: requestId,
    functionName,
    functionVersion: '$LATEST',
    invokedFunctionArn: `arn:aws:lambda:us-west-2:111122223333:function:${functionName}`,
    memoryLimitInMB: '1024',
    logGroupName: `/aws/lambda/${functionName}`,
    logStreamName: 'local',
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => endsAtMs - Date.now(),
  } as unknown as Context;
  handler(JSON.parse(payload), context).then(
    (result = null) => parentPort?.postMessage({ id, payload: JSON.stringify(result) } satisfies Outcome),
    (error: unknown) => parentPort?.postMessage({ id, error: describe(error) } satisfies Outcome),
  );
});

function describe(error: unknown): FunctionError {
  if (!(error instanceof Error)) return { errorType: typeof error, errorMessage: String(error), trace: [] };
  return { errorType: error.name, errorMessage: error.message, trace: error.stack?.split('\n') ?? [] };
}
