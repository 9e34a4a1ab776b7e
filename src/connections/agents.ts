import type nodeHttp from 'node:http';
import { Agent as HttpsAgent, type AgentOptions } from 'node:https';
import { guardAgainstFreezes, type GuardOptions } from './freeze-guard.ts';

/**
 * `node:http`, loaded with `getBuiltinModule`, because an `import` would also load undici, which adds 50 ms to a cold
 * start. The call also works in a CommonJS bundle, which has no `import.meta`.
 */
export const http = /* @__PURE__ */ process.getBuiltinModule('node:http');

/** Connections per host: the AWS SDK's default. */
const MAX_SOCKETS = 50;
/** Idle connections are closed after ten seconds, before a server or a firewall is likely to drop them. */
const MAX_IDLE_MS = 10_000;

/**
 * Makes agents that reuse connections between requests, but close connections that were open when Lambda froze the
 * process.
 * @param guard how to treat requests that were in progress during a freeze
 * @param options options for both agents, which replace Keyfold's own
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
 * Guards the agents of a caller's SDK client, if the client has already made them. Does not end requests that were in
 * progress during a freeze, because the caller may use the client for requests that must not be repeated.
 * @param requestHandler the `requestHandler` of the client's config. A handler without Node agents stays unchanged.
 */
export function guardHandler(requestHandler: unknown): void {
  const handler = requestHandler as
    { readonly httpHandlerConfigs?: () => Readonly<Record<string, unknown>> } | undefined;
  const { httpAgent, httpsAgent } = handler?.httpHandlerConfigs?.() ?? {};
  for (const agent of [httpAgent, httpsAgent]) if (agent instanceof http.Agent) guardAgainstFreezes(agent);
}
