/**
 * A worker thread of a Managed Instance, with its own module scope. It starts every posted invocation immediately. Each
 * invocation has its own invoke store, as in Lambda's client for the Runtime API if AWS_LAMBDA_MAX_CONCURRENCY is set.
 */
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parentPort, workerData } from 'node:worker_threads';
import { InvokeStore, InvokeStoreBase } from '@aws/lambda-invoke-store';
import type { Context } from 'aws-lambda';

/** A message to the worker. */
export type Post =
  | { readonly id: number; readonly requestId: string; readonly payload: string }
  /** Asks the worker for a {@link Holding}. */
  | { readonly id: number; readonly measure: true };

/** The memory and resources of a worker after a garbage collection. */
export interface Holding {
  readonly heapBytes: number;
  /** The number of resources that keep the process alive, by kind. */
  readonly resources: readonly string[];
}

/** A message from the worker: a result in JSON, the name of an error, or a measurement. */
export type Reply =
  | { readonly id: number; readonly result: string }
  | { readonly id: number; readonly errorType: string }
  | { readonly id: number; readonly holding: Holding };

const TIMEOUT_MS = 30_000;
const { modulePath } = workerData as { modulePath: string };
const store = await InvokeStore.getInstanceAsync();
const { handler } = (await import(modulePath)) as { handler: (event: unknown, context: Context) => Promise<unknown> };
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

parentPort?.on('message', (post: Post) => void answer(post).then((reply) => parentPort?.postMessage(reply)));

async function answer(post: Post): Promise<Reply> {
  if ('measure' in post) return { id: post.id, holding: await measured() };
  const { id, requestId, payload } = post;
  const endsAtMs = Date.now() + TIMEOUT_MS;
  const context = {
    awsRequestId: requestId,
    functionName: 'keyfold',
    getRemainingTimeInMillis: () => endsAtMs - Date.now(),
  } as unknown as Context;
  const work = (): Promise<unknown> => handler(JSON.parse(payload), context);
  try {
    const result = await store.run({ [InvokeStoreBase.PROTECTED_KEYS.REQUEST_ID]: requestId }, work);
    return { id, result: JSON.stringify(result) };
  } catch (error) {
    return { id, errorType: (error as Error).name };
  }
}

async function measured(): Promise<Holding> {
  for (let i = 0; i < 3; i += 1) {
    await setImmediate();
    collectGarbage();
  }
  const resources = process.getActiveResourcesInfo().toSorted();
  return { heapBytes: process.memoryUsage().heapUsed, resources };
}
