import { FUNCTION, optional, optionsOf, STRING, type Types } from '../envelope/checks.ts';
import { HTTP_PARTITION, NO_HTTP_PARTITION } from '../operations/http-partition.ts';
import {
  KeyfoldServiceError,
  KeyfoldTransportError,
  refusal,
  secondsOf,
  serviceError,
  type KeyfoldClientError,
} from './errors.ts';
import { CREDENTIALS, requestSigner, type Credentials } from './sign.ts';
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
  readonly #headersFor: (url: URL, headers: Record<string, string>, body: string) => Promise<Record<string, string>>;

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
    this.#endpoint = endpoint.replace(/\/+$/, '');
    this.#headersFor =
      authorization === undefined ? requestSigner(hostname, region, credentials) : bearing(authorization);
  }

  /** @throws KeyfoldServiceError `InvalidRequest`, without asking, for a partition that HTTP cannot name */
  async send({ partition, operation, members }: ClientCall, signal: AbortSignal): Promise<ClientAnswer> {
    if (!HTTP_PARTITION.test(partition)) {
      throw new KeyfoldServiceError('InvalidRequest', NO_HTTP_PARTITION);
    }
    const url = new URL(`${this.#endpoint}/v1/partitions/${partition}/${operation}`);
    const body = JSON.stringify(members);
    const headers = await this.#headersFor(url, { 'content-type': 'application/json' }, body);
    return exchange(url, { method: 'POST', headers, body, signal, redirect: 'manual' });
  }
}

async function exchange(url: URL, request: RequestInit): Promise<ClientAnswer> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, request);
    text = await response.text();
  } catch (error) {
    throw new KeyfoldTransportError('Unreachable', `The API was not reached: ${faultOf(error)}.`);
  }
  const requestId = response.headers.get('apigw-requestid') ?? undefined;
  const value = parse(text);
  if (response.status !== 200) throw failureOf(response, value, requestId);
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

/** A problem document of Keyfold's, or what somebody else has answered. */
function failureOf({ status, headers }: Response, value: unknown, gatewayId: string | undefined): KeyfoldClientError {
  const retryAfterSeconds = secondsOf(headers.get('retry-after'));
  const isProblem = headers.get('content-type')?.startsWith('application/problem+json') === true;
  const { code, detail, requestId } = (isProblem ? (value ?? {}) : {}) as Readonly<Record<string, unknown>>;
  const details = { requestId: typeof requestId === 'string' ? requestId : gatewayId, retryAfterSeconds };
  return serviceError(code, detail, details) ?? refusal('The API', status, details);
}

/** Its code, or its name: a text of the network's may quote what was sent. */
function faultOf(error: unknown): string {
  const { name, cause } = error as { readonly name?: string; readonly cause?: { readonly code?: string } };
  return cause?.code ?? name ?? 'an unknown fault';
}

function bearing(authorization: () => Promise<string>) {
  return async (_url: URL, headers: Record<string, string>): Promise<Record<string, string>> => {
    const value = await authorization();
    // The platform's own error would quote it.
    if (typeof value !== 'string' || !/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(value))
      throw new TypeError('The authorization is no header value.');
    return { ...headers, authorization: value };
  };
}
