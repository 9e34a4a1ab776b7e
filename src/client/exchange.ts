import type { IncomingMessage } from 'node:http';
import { globalAgent, request as httpsRequest } from 'node:https';
import { buffer } from 'node:stream/consumers';
import { http, keptConnections } from '../connections/agents.ts';
import { ANSWER_AFTER_FREEZE_MS } from './transport.ts';

/** An answer over HTTP, whatever its status. */
export interface HttpAnswer {
  readonly status: number;
  /** By their names in small letters. */
  readonly headers: ReadonlyMap<string, string>;
  readonly text: string;
}

/** Firewalls refuse requests that do not say who makes them. */
const COMMON_HEADERS = { accept: 'application/json', 'user-agent': 'keyfold-client' };

/** Posts to one host. It keeps connections between requests, and none over a freeze of the process. */
export class HttpExchange {
  /** The proxy that NODE_USE_ENV_PROXY sets for all of Node is used here, too. */
  readonly #agents = keptConnections(
    { answerWithinMs: ANSWER_AFTER_FREEZE_MS },
    { maxSockets: Infinity, proxyEnv: globalAgent.options.proxyEnv },
  );

  /** Redirects are not followed. @throws what Node throws when the connection fails, or the signal's error */
  async post(
    url: URL,
    headers: Readonly<Record<string, string>>,
    body: string,
    signal: AbortSignal,
  ): Promise<HttpAnswer> {
    const isTls = url.protocol === 'https:';
    const request = isTls ? httpsRequest : http.request;
    const agent = isTls ? this.#agents.httpsAgent : this.#agents.httpAgent;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      request(url, { method: 'POST', headers: { ...COMMON_HEADERS, ...headers }, agent, signal }, resolve)
        .on('error', reject)
        .end(body);
    });
    const text = (await buffer(answer)).toString();
    return { status: answer.statusCode ?? 0, headers: headersOf(answer), text };
  }
}

function headersOf({ headers }: IncomingMessage): Map<string, string> {
  return new Map(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
