import { FUNCTION, optional, optionsOf, STRING, type Types } from '../input/checks.ts';
import { HTTP_PARTITION, NO_HTTP_PARTITION } from '../operations/http-partition.ts';
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
import { CREDENTIALS, requestSigner, type Credentials, type RequestSigner } from './sign.ts';
import type { ClientAnswer, ClientCall, Transport } from './transport.ts';

/** What an {@link HttpTransport} needs. Requests are signed for IAM, unless there is an `authorization`. */
export interface HttpTransportOptions {
  /** Where the API is: `https://….execute-api.us-west-2.amazonaws.com`, with a stage's path if it has one. */
  readonly endpoint: string;
  /** That requests are signed for; of the endpoint's name unless given. */
  readonly region?: string;
  /** That requests are signed with; found as the AWS SDK finds them unless given. */
  readonly credentials?: Credentials;
  /** The value of the `authorization` header, `Bearer …`, for an API with a JWT authorizer; asked for each attempt. */
  readonly authorization?: () => Promise<string>;
}

/** Adds an authorization to requests, which no clock bears on. */
type Authorizer = Pick<RequestSigner, 'sign'>;

const LOCAL_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])$/;

const OPTIONS: Types<HttpTransportOptions> = {
  endpoint: STRING,
  region: optional(STRING),
  credentials: optional(CREDENTIALS),
  authorization: optional(FUNCTION),
};

/** The way to Keyfold through API Gateway. */
export class HttpTransport implements Transport {
  readonly #endpoint: string;
  readonly #exchange = new HttpExchange();
  readonly #signer: RequestSigner | Authorizer;

  /**
   * @throws TypeError naming an option of a wrong type, one that there is not, those that do not go together, and an endpoint that
   * would be sent plaintexts without TLS
   */
  constructor(options: HttpTransportOptions) {
    const { endpoint, region, credentials, authorization } = optionsOf(options, 'http', OPTIONS);
    if (!URL.canParse(endpoint)) throw new TypeError('http.endpoint must be a URL.');
    const { protocol, hostname, username, password } = new URL(endpoint);
    if (protocol !== 'https:' && !(protocol === 'http:' && LOCAL_HOST.test(hostname))) {
      throw new TypeError('The endpoint is not https.');
    }
    // A bare ? or # is none in a URL's parts, and would take in the path that is put behind it.
    if (/[?#]/.test(endpoint) || username !== '' || password !== '')
      throw new TypeError('The endpoint is more than an address.');
    if (authorization !== undefined && credentials !== undefined) {
      throw new TypeError('Requests are signed with credentials or bear an authorization, not both.');
    }
    this.#endpoint = withoutSlashes(endpoint);
    this.#signer = authorization === undefined ? requestSigner(hostname, region, credentials) : bearing(authorization);
  }

  /** @throws KeyfoldServiceError `InvalidRequest`, without asking, for a partition that HTTP cannot name */
  async send({ partition, operation, members }: ClientCall, signal: AbortSignal): Promise<ClientAnswer> {
    if (!HTTP_PARTITION.test(partition)) {
      throw new KeyfoldServiceError('InvalidRequest', NO_HTTP_PARTITION);
    }
    const url = new URL(`${this.#endpoint}/v1/partitions/${partition}/${operation}`);
    const body = jsonOf(members) ?? '';
    const headers = { 'content-type': 'application/json' };
    const sendTo = async (signer: RequestSigner | Authorizer): Promise<HttpAnswer> =>
      reached(this.#exchange.post(url, await signer.sign(url, headers, body), body, signal));
    const signer = this.#signer;
    if (!('correctClock' in signer)) return answerOf(await sendTo(signer));
    const signedOffsetMs = signer.clockOffsetMs;
    const reply = await sendTo(signer);
    if (!isCorrected(reply, signer, signedOffsetMs)) return answerOf(reply);
    return answerOf(await sendTo(signer), signer.clockOffsetMs);
  }
}

/** Without the slashes at its end. A regular expression for them would look at each slash of the whole again and again. */
function withoutSlashes(endpoint: string): string {
  let end = endpoint.length;
  while (endpoint[end - 1] === '/') end -= 1;
  return endpoint.slice(0, end);
}

async function reached(exchange: Promise<HttpAnswer>): Promise<HttpAnswer> {
  return exchange.catch((error: unknown) => {
    throw new KeyfoldTransportError('Unreachable', `The API was not reached: ${faultOf(error)}.`);
  });
}

/** Whether a request was refused for its signature, and the next signature is another one: by the API's clock, or with new credentials. */
function isCorrected({ status, headers, text }: HttpAnswer, signer: RequestSigner, signedOffsetMs: number): boolean {
  if ((status !== 401 && status !== 403) || isProblem(headers)) return false;
  // An HTTP API says no more than Forbidden. Its date tells whether the clock may be the reason.
  if (signer.correctClock(headers.get('date'), signedOffsetMs)) return true;
  const fault = signatureFaultIn(headers, text);
  if (fault === 'credentials') signer.renewCredentials();
  return fault !== undefined;
}

function signatureFaultIn(headers: HttpAnswer['headers'], text: string): SignatureFault | undefined {
  const [named = ''] = headers.get('x-amzn-errortype')?.split(':') ?? [];
  if (/security token included in the request is/i.test(text)) return 'credentials';
  if (/signature (?:expired|not yet current)/i.test(text)) return 'clock';
  return signatureFaultNamed(named);
}

/** @param clockOffsetMs by how much this machine's clock was found to be behind, if the request was sent once more for that */
function answerOf(reply: HttpAnswer, clockOffsetMs = 0): ClientAnswer {
  const { status, headers, text } = reply;
  const requestId = headers.get('apigw-requestid');
  const value = parse(text);
  if (status !== 200) throw failureOf(reply, value, requestId, clockOffsetMs);
  if (value === undefined) {
    throw new KeyfoldTransportError('UnexpectedAnswer', 'The API has not answered with JSON.', { requestId });
  }
  return { value, requestId };
}

/** Undefined where it is no JSON: a page of somebody's between here and Keyfold. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isProblem(headers: HttpAnswer['headers']): boolean {
  return headers.get('content-type')?.startsWith('application/problem+json') === true;
}

/** A problem document of Keyfold's, or what somebody else has answered. */
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
  const isClocks = clockOffsetMs !== 0 || signatureFaultIn(headers, text) === 'clock';
  return isClocks && (status === 401 || status === 403)
    ? clockRefusal('The API', status, clockOffsetMs, details)
    : refusal('The API', status, details);
}

/** Certificates that are not valid now. */
const CERTIFICATE_DATES = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

/** Its code, or its name: a text of the network's may quote what was sent. */
function faultOf(error: unknown): string {
  const { name, code } = error as { readonly name?: string; readonly code?: string };
  const fault = code ?? name ?? 'an unknown fault';
  return CERTIFICATE_DATES.has(fault) ? `${fault}, or this machine's clock is wrong` : fault;
}

function bearing(authorization: () => Promise<string>): Authorizer {
  return {
    async sign(_url, headers) {
      const value = await authorization();
      // The platform's own error would quote it.
      if (typeof value !== 'string' || !/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(value))
        throw new TypeError('The authorization is no header value.');
      return { ...headers, authorization: value };
    },
  };
}
