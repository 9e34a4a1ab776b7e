import type { IncomingMessage } from 'node:http';
import { Agent, globalAgent, request as httpsRequest } from 'node:https';
import { http } from '../../connections/agents.ts';
import { membersOf, type JsonObject } from '../../input/json-object.ts';

/** An answer of Vault. */
export interface VaultAnswer {
  readonly status: number;
  /** The members of the JSON body. Empty if the body is something else. */
  readonly body: JsonObject;
}

/** The longest answer that is read. Vault's answers to the calls of Keyfold have a few kilobytes. */
const MAX_ANSWER_BYTES = 65_536;

/** Sends POST requests to one address of Vault. */
export class VaultHttp {
  readonly #base: string;
  readonly #agent: Agent | InstanceType<typeof http.Agent>;
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
    // Each call opens a new connection. A kept connection could be dead after a Lambda freeze, and the failed call
    // would count against the address. A process makes so few calls that the cost is small.
    const options = { keepAlive: false, proxyEnv: globalAgent.options.proxyEnv };
    this.#agent = isTls ? new Agent({ ...options, ...(ca !== undefined && { ca }) }) : new http.Agent(options);
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
   * Sends a request. Does not follow redirects, because the token must go to configured addresses only.
   * @param body is zeroed once the answer has arrived
   * @throws Error of Node if the connection fails, if the answer is too long, or if the signal aborts
   */
  async post(path: string, token: string | undefined, body: Buffer, signal: AbortSignal): Promise<VaultAnswer> {
    try {
      const headers = { ...this.#headers, 'content-length': body.length, ...(token && { 'x-vault-token': token }) };
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        this.#request(`${this.#base}/v1/${path}`, { method: 'POST', headers, agent: this.#agent, signal }, resolve)
          .on('error', reject)
          .end(body);
      });
      return { status: answer.statusCode ?? 0, body: await jsonOf(answer) };
    } finally {
      body.fill(0);
    }
  }
}

/** Reads the JSON of an answer, and zeroes the bytes that it has read, because they may contain a key. */
async function jsonOf(answer: IncomingMessage): Promise<JsonObject> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      sizeBytes += chunk.length;
      if (sizeBytes > MAX_ANSWER_BYTES) throw Object.assign(new Error('Too long.'), { code: 'AnswerTooLong' });
    }
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
