import type { IncomingMessage } from 'node:http';
import { globalAgent, request as httpsRequest } from 'node:https';
import { http, keptConnections } from '../connections/agents.ts';
import { utf8Of } from '../crypto/utf8.ts';
import { KeyfoldTransportError, refusal } from './errors.ts';
import { ANSWER_AFTER_FREEZE_MS } from './transport.ts';

/** An HTTP response of any status. */
export interface HttpAnswer {
  readonly status: number;
  /** The headers, keyed by name in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** The body. Empty if a successful response is not UTF-8. */
  readonly text: string;
}

/** API Gateway and Lambda send at most 10 MB. A larger response does not come from them, and could fill the memory. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** Some firewalls reject requests without a `user-agent` header. */
const COMMON_HEADERS = { accept: 'application/json', 'user-agent': 'keyfold-client' };

/**
 * Sends POST requests to one host. It reuses connections, but closes connections that were open when Lambda froze the
 * process.
 */
export class HttpExchange {
  /**
   * `proxyEnv` applies the proxy settings of NODE_USE_ENV_PROXY, which Node otherwise applies only to its global
   * agents.
   */
  readonly #agents = keptConnections(
    { answerWithinMs: ANSWER_AFTER_FREEZE_MS },
    { maxSockets: Infinity, proxyEnv: globalAgent.options.proxyEnv },
  );

  /**
   * Sends a request. Does not follow redirects.
   * @throws Error of Node if the connection fails or if the signal aborts
   * @throws KeyfoldTransportError `UnexpectedAnswer` if the response is too large or switches to another protocol
   */
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
        // Without this listener, Node would close the connection and report nothing.
        .on('upgrade', ({ statusCode = 0 }, socket) => {
          socket.destroy();
          reject(refusal('The API', statusCode, {}));
        })
        .end(body);
    });
    const bytes = await bytesOf(answer);
    const { statusCode: status = 0 } = answer;
    // Only a successful response must be valid UTF-8, because the client does not return the text of an error.
    const text = status === 200 ? (utf8Of(bytes) ?? '') : bytes.toString();
    return { status, headers: headersOf(answer), text };
  }
}

/** Reads a body. A body that is too large closes the connection. */
async function bytesOf(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_ANSWER_BYTES)
      throw new KeyfoldTransportError('UnexpectedAnswer', `The API sent more than ${MAX_ANSWER_BYTES} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function headersOf({ headers }: IncomingMessage): Map<string, string> {
  return new Map(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}
