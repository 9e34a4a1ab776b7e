import type { Agent, ClientRequest, IncomingMessage } from 'node:http';
import { globalAgent, request as httpsRequest } from 'node:https';
import { http, keptConnections } from '../../connections/agents.ts';
import { FrozenConnection } from '../../connections/freeze-guard.ts';
import { membersOf, type JsonObject } from '../../input/json-object.ts';

/** A response from Vault. */
export interface VaultAnswer {
  readonly status: number;
  /** The members of the JSON body. Empty if the body is not a JSON object. */
  readonly body: JsonObject;
}

/** The longest response that is read. Vault's responses to Keyfold's calls are a few kilobytes long. */
const MAX_ANSWER_BYTES = 65_536;

/**
 * If a Lambda freeze has interrupted a call, the call waits at most this many milliseconds for the next byte of its
 * response. Vault usually responds within a few milliseconds.
 */
const ANSWER_AFTER_FREEZE_MS = 1000;

/** Sends POST requests to one Vault address. Reuses connections, except connections from before a freeze. */
export class VaultHttp {
  readonly #base: string;
  readonly #agent: Agent;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #request: typeof httpsRequest;

  /**
   * @param base the address, without a slash at its end
   * @param ca certificates in PEM that are trusted instead of Node's own
   */
  constructor(base: string, namespace: string | undefined, ca: string | undefined) {
    this.#base = base;
    const isTls = base.startsWith('https:');
    this.#request = isTls ? httpsRequest : http.request;
    // An address without TLS is always on this machine. Do not send its requests through a proxy, which could read the
    // token and the keys.
    const options = { ...(isTls && { proxyEnv: globalAgent.options.proxyEnv }), ...(ca !== undefined && { ca }) };
    const agents = keptConnections({ answerWithinMs: ANSWER_AFTER_FREEZE_MS }, options);
    this.#agent = isTls ? agents.httpsAgent : agents.httpAgent;
    this.#headers = {
      accept: 'application/json',
      'content-type': 'application/json',
      'user-agent': 'keyfold',
      // A Vault Agent can require this header, because a forged request from a browser lacks it.
      'x-vault-request': 'true',
      ...(namespace !== undefined && { 'x-vault-namespace': namespace }),
    };
  }

  /**
   * Sends a request. Does not follow redirects, because the token must go to configured addresses only. Sends the
   * request again if only its connection was at fault. After an error the guard closes idle connections, so the next
   * attempt has a new connection.
   * @param body is zeroed once the response has arrived
   * @throws Error of Node if the connection fails, if the response is too long, or if the signal aborts
   */
  async post(path: string, token: string | undefined, body: Buffer, signal: AbortSignal): Promise<VaultAnswer> {
    const headers = { ...this.#headers, 'content-length': body.length, ...(token && { 'x-vault-token': token }) };
    const options = { method: 'POST', headers, agent: this.#agent, signal };
    try {
      for (;;) {
        const request = this.#request(`${this.#base}/v1/${path}`, options);
        let answer: IncomingMessage | undefined;
        try {
          answer = await answerTo(request, body);
          return { status: answer.statusCode ?? 0, body: await jsonOf(answer) };
        } catch (error) {
          // Vault may have closed a kept connection before this request.
          const isStale = request.reusedSocket && answer === undefined;
          if (signal.aborted || !(isStale || wasFrozen(request))) throw error;
        }
      }
    } finally {
      body.fill(0);
    }
  }
}

function answerTo(request: ClientRequest, body: Buffer): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve).on('error', reject).end(body);
  });
}

/** Whether the guard has ended the connection of a request after a freeze. */
function wasFrozen({ socket }: { readonly socket: ClientRequest['socket'] | null }): boolean {
  return socket?.errored instanceof FrozenConnection;
}

/** Reads the JSON of a response, and zeroes the bytes that it has read, because they may contain a key. */
async function jsonOf(answer: IncomingMessage): Promise<JsonObject> {
  const chunks: Buffer[] = [];
  try {
    await bodyOf(answer, chunks);
    const bytes = Buffer.concat(chunks);
    chunks.push(bytes);
    return membersOf(JSON.parse(bytes.toString()));
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  } finally {
    for (const chunk of chunks) chunk.fill(0);
  }
}

/** Reads a response into an array. It uses no asynchronous iterator, which would take four times as long. */
function bodyOf(answer: IncomingMessage, chunks: Buffer[]): Promise<void> {
  return new Promise((resolve, reject) => {
    let sizeBytes = 0;
    answer.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes > MAX_ANSWER_BYTES) {
        answer.destroy(Object.assign(new Error('Too long.'), { code: 'AnswerTooLong' }));
      }
    });
    answer.once('end', resolve).once('error', reject);
  });
}
