import { callFaultOf, type CallFault } from './call-fault.ts';

/** The part of an SDK client through which {@link watchClocks} sees the responses. */
interface Watched {
  readonly middlewareStack: {
    add(middleware: never, options: { readonly step: 'deserialize'; readonly priority: 'low' }): void;
  };
}

type Next = (args: unknown) => Promise<{ readonly response: unknown }>;

/**
 * Reads the `Date` header of every response that an SDK client receives, including errors.
 * @returns a function that returns the latest clock difference: the server's clock minus this machine's, in
 * milliseconds
 */
export function watchClocks(client: Watched, now: () => number): () => number | undefined {
  let offsetMs: number | undefined;
  // Run in the step closest to the network, where a response is not parsed yet.
  const middleware =
    (next: Next): Next =>
    async (args) => {
      const beganMs = now();
      const result = await next(args);
      const { headers } = result.response as { readonly headers?: Readonly<Record<string, string>> };
      const serverMs = Date.parse(headers?.['date'] ?? '');
      // The header has whole seconds, so add half a second. The server wrote the header between request and response,
      // so compare it with the midpoint of that interval.
      if (!Number.isNaN(serverMs)) offsetMs = serverMs + 500 - (beganMs + now()) / 2;
      return result;
    };
  client.middlewareStack.add(middleware as never, { step: 'deserialize', priority: 'low' });
  return () => offsetMs;
}

/** The response to a call with its latency, or the reason why the call failed. */
export type Outcome<T> = { readonly answer: T; readonly latencyMs: number } | { readonly fault: CallFault };

/** Awaits a call. It never throws. */
export async function outcomeOf<T>(call: () => Promise<T>): Promise<Outcome<T>> {
  const beganMs = performance.now();
  try {
    const answer = await call();
    return { answer, latencyMs: performance.now() - beganMs };
  } catch (error) {
    return { fault: callFaultOf(error) };
  }
}
