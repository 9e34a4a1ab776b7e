import type nodeHttp from 'node:http';
import { Agent as HttpsAgent, type AgentOptions } from 'node:https';
import { createRequire as requireFrom } from 'node:module';
import { guardAgainstFreezes, type GuardOptions } from './freeze-guard.ts';

/** An import of it would load undici, which takes 50 ms of a cold start. */
export const http = requireFrom(import.meta.url)('node:http') as typeof nodeHttp;

/** As many connections to one host as the SDK has unless told otherwise. */
const MAX_SOCKETS = 50;
/** Idle connections are closed before a server, or a network on the way, is likely to forget them. */
const MAX_IDLE_MS = 10_000;

/**
 * Agents that keep connections between requests, and none over a freeze of the process.
 * @example
 * new DynamoDBClient({ requestHandler: keptConnections({ answerWithinMs: 1000 }) });
 */
export function keptConnections(
  guard: GuardOptions,
  options: AgentOptions = {},
): { readonly httpAgent: nodeHttp.Agent; readonly httpsAgent: HttpsAgent } {
  const kept = { keepAlive: true, maxSockets: MAX_SOCKETS, timeout: MAX_IDLE_MS, ...options };
  return {
    httpAgent: guardAgainstFreezes(new http.Agent(kept), guard),
    httpsAgent: guardAgainstFreezes(new HttpsAgent(kept), guard),
  };
}

/**
 * Guards the agents of an SDK client that somebody else has made, as far as it has any yet. Its requests in flight are left
 * alone, since others may use the client for what must not be repeated.
 */
export function guardHandler(requestHandler: unknown): void {
  const handler = requestHandler as
    { readonly httpHandlerConfigs?: () => Readonly<Record<string, unknown>> } | undefined;
  const { httpAgent, httpsAgent } = handler?.httpHandlerConfigs?.() ?? {};
  for (const agent of [httpAgent, httpsAgent]) if (agent instanceof http.Agent) guardAgainstFreezes(agent);
}
