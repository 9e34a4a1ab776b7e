import { FUNCTION, optional, optionsOf, STRING, type Type, type Types } from '../input/checks.ts';
import { HTTP_PARTITION, NO_HTTP_PARTITION } from '../operations/http-partition.ts';
import { CREDENTIALS, type Credentials } from '../connections/sdk-client.ts';
import { signatureFaultNamed, type SignatureFault } from '../connections/signature-fault.ts';
import {
  clockRefusal,
  KeyfoldServiceError,
  KeyfoldTransportError,
  refusal,
  secondsOf,
  serviceError,
  type KeyfoldClientError,
} from './errors.ts';
import { HttpExchange, type HttpAnswer } from './exchange.ts';
import { jsonOf } from './json.ts';
import { isLocalHost } from '../input/local-host.ts';
import { isRegionName } from '../records/ids.ts';
import { requestSigner, type RequestSigner } from './sign.ts';
import type { ClientAnswer, ClientCall, Transport } from './transport.ts';

/** How a client reaches the HTTP API. It needs `credentials` for an IAM authorizer, or `authorization` for a token. */
export interface HttpTransportOptions {
  /**
   * The URL of the API, such as `https://abc123.execute-api.us-west-2.amazonaws.com`, with the stage's path if it has
   * one, or a function URL.
   */
  readonly endpoint: string;
  /** The AWS region to sign requests for. If absent, it is read from the endpoint's host name. */
  readonly region?: string;
  /**
   * The AWS credentials to sign requests with. `defaultCredentials()` of `keyfold/client/default-credentials` finds
   * them as the AWS SDK does.
   */
  readonly credentials?: Credentials;
  /** Returns the `authorization` header, `Bearer …`, for an API with a JWT authorizer. Called once per attempt. */
  readonly authorization?: () => Promise<string>;
}

/** Adds the caller's `authorization` header. Unlike a signature, it does not depend on the clock. */
type Authorizer = Pick<RequestSigner, 'sign'>;

const NO_IDENTITY =
  'http must have credentials or authorization. ' +
  "defaultCredentials() of keyfold/client/default-credentials finds the AWS SDK's.";

const REGION: Type = {
  called: 'the name of an AWS region',
  holds: (value) => STRING.holds(value) && isRegionName(value as string),
};
const OPTIONS: Types<HttpTransportOptions> = {
  endpoint: STRING,
  region: optional(REGION),
  credentials: optional(CREDENTIALS),
  authorization: optional(FUNCTION),
};

/** Calls Keyfold's HTTP API through API Gateway or a function URL. */
export class HttpTransport implements Transport {
  readonly #endpoint: string;
  readonly #exchange = new HttpExchange();
  readonly #signer: RequestSigner | Authorizer;

  /**
   * @throws TypeError if an option has the wrong type or does not exist, if the options contain both or neither of
   * `credentials` and `authorization`, or if the endpoint uses `http:` for a host other than this machine
   */
  constructor(options: HttpTransportOptions) {
    const { endpoint, region, credentials, authorization } = optionsOf(options, 'http', OPTIONS);
    // Refuse white space and control characters. At the end of a URL, the URL class removes such characters. But once a
    // path follows them, it cannot parse the URL.
    if (!URL.canParse(endpoint) || /[\s\p{Cc}]/u.test(endpoint)) throw new TypeError('http.endpoint must be a URL.');
    const { protocol, hostname, username, password } = new URL(endpoint);
    if (protocol !== 'https:' && !(protocol === 'http:' && isLocalHost(hostname))) {
      throw new TypeError('http.endpoint must start with https.');
    }
    // The URL class does not report a bare ? or #. But either would turn the appended path into a query or a fragment.
    if (/[?#]/.test(endpoint) || username !== '' || password !== '')
      throw new TypeError('http.endpoint must not contain a query, a fragment or a user name.');
    if (authorization !== undefined && credentials !== undefined) {
      throw new TypeError('http must not have both credentials and authorization.');
    }
    this.#endpoint = withoutSlashes(endpoint);
    if (authorization !== undefined) this.#signer = bearing(authorization);
    else if (credentials !== undefined) this.#signer = requestSigner(hostname, region, credentials);
    else throw new TypeError(NO_IDENTITY);
  }

  /** @throws KeyfoldServiceError `InvalidRequest`, before sending, if the partition cannot be part of a URL path */
  async send({ partition, operation, members }: ClientCall, signal: AbortSignal): Promise<ClientAnswer> {
    if (!HTTP_PARTITION.test(partition)) {
      throw new KeyfoldServiceError('InvalidRequest', NO_HTTP_PARTITION);
    }
    const url = new URL(`${this.#endpoint}/v1/partitions/${partition}/${operation}`);
    const body = jsonOf(members) ?? '';
    const headers = { 'content-type': 'application/json' };
    const sendTo = async (signer: RequestSigner | Authorizer): Promise<HttpAnswer> =>
      asUnreachable(this.#exchange.post(url, await signer.sign(url, headers, body), body, signal));
    const signer = this.#signer;
    if (!('correctClock' in signer)) return answerOf(await sendTo(signer));
    const signedAtMs = Date.now() + signer.clockOffsetMs;
    const reply = await sendTo(signer);
    if (!isCorrected(reply, signer, signedAtMs)) return answerOf(reply);
    return answerOf(await sendTo(signer), signer.clockOffsetMs);
  }
}

/**
 * Removes trailing slashes. It uses no regular expression, which would take quadratic time for an endpoint with many
 * slashes.
 */
function withoutSlashes(endpoint: string): string {
  let end = endpoint.length;
  while (endpoint[end - 1] === '/') end -= 1;
  return endpoint.slice(0, end);
}

async function asUnreachable(exchange: Promise<HttpAnswer>): Promise<HttpAnswer> {
  return exchange.catch((error: unknown) => {
    if (error instanceof KeyfoldTransportError) throw error;
    throw new KeyfoldTransportError('Unreachable', `The API could not be reached: ${faultOf(error)}.`);
  });
}

/**
 * If the API rejected a request's signature, corrects the signer's clock by the date of the response, or makes the
 * signer ask for new credentials.
 * @returns whether the API may accept another signature
 */
function isCorrected({ status, headers, text }: HttpAnswer, signer: RequestSigner, signedAtMs: number): boolean {
  if ((status !== 401 && status !== 403) || isProblem(headers)) return false;
  // The response of an HTTP API says only `Forbidden`. So check by the date of the response whether this machine's
  // clock may be the cause.
  if (signer.correctClock(headers.get('date'), signedAtMs)) return true;
  const fault = signatureFaultIn(headers, text);
  if (fault === 'credentials') signer.renewCredentials();
  return fault !== undefined;
}

function signatureFaultIn(headers: HttpAnswer['headers'], text: string): SignatureFault | undefined {
  const [named = ''] = headers.get('x-amzn-errortype')?.split(':') ?? [];
  if (/security token included in the request is/.test(text)) return 'credentials';
  if (/Signature (?:expired|not yet current)/.test(text)) return 'clock';
  return signatureFaultNamed(named);
}

/**
 * Parses a reply's JSON, or throws the error that the reply reports.
 * @param clockOffsetMs how many milliseconds this machine's clock is behind AWS's clock, or 0 if the client did not
 * retry with a corrected clock
 */
function answerOf(reply: HttpAnswer, clockOffsetMs = 0): ClientAnswer {
  const { status, headers, text } = reply;
  // HTTP APIs send the first header, REST APIs and function URLs the second.
  const requestId = headers.get('apigw-requestid') ?? headers.get('x-amzn-requestid');
  const value = parse(text);
  if (status !== 200) throw failureOf(reply, value, requestId, clockOffsetMs);
  if (value === undefined) {
    throw new KeyfoldTransportError('UnexpectedAnswer', 'The API did not answer with JSON.', { requestId });
  }
  return { value, requestId };
}

/** Parses JSON. Returns undefined for other text, such as the HTML page of a proxy. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isProblem(headers: HttpAnswer['headers']): boolean {
  return /^application\/problem\+json/i.test(headers.get('content-type') ?? '');
}

/** Turns a failed reply into an error. Keyfold sends problem documents; API Gateway and proxies send other replies. */
function failureOf(
  { status, headers, text }: HttpAnswer,
  value: unknown,
  gatewayId: string | undefined,
  clockOffsetMs: number,
): KeyfoldClientError {
  const retryAfterSeconds = secondsOf(headers.get('retry-after'), headers.get('date'));
  const { code, detail, requestId } = (isProblem(headers) ? (value ?? {}) : {}) as Readonly<Record<string, unknown>>;
  const details = { requestId: typeof requestId === 'string' ? requestId : gatewayId, retryAfterSeconds };
  const error = serviceError(code, detail, details);
  if (error !== undefined) return error;
  const isClockFault = clockOffsetMs !== 0 || signatureFaultIn(headers, text) === 'clock';
  return isClockFault && (status === 401 || status === 403)
    ? clockRefusal('The API', status, clockOffsetMs, details)
    : refusal('The API', status, details);
}

/** Node's codes for certificates whose validity period excludes the current time. */
const CERTIFICATE_DATES = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

/** Returns a network error's code or name. The error's message is omitted, because it may quote the request. */
function faultOf(error: unknown): string {
  const { name, code } = error as { readonly name?: string; readonly code?: string };
  const fault = code ?? name ?? 'an unknown fault';
  return CERTIFICATE_DATES.has(fault) ? `${fault}, or this machine's clock is wrong` : fault;
}

function bearing(authorization: () => Promise<string>): Authorizer {
  return {
    async sign(_url, headers) {
      const value = await authorization();
      // Check the value here, because Node's error for an invalid header value would contain it.
      if (typeof value !== 'string' || !/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(value))
        throw new TypeError('http.authorization must return a valid header value.');
      return { ...headers, authorization: value };
    },
  };
}
