import { InvokeCommand, LambdaClient, type InvokeCommandOutput } from '@aws-sdk/client-lambda';
import { guardHandler, keptConnections } from '../connections/agents.ts';
import { foundCredentials } from '../connections/found-credentials.ts';
import { CREDENTIALS, sdkClient, withTimeLimit, type Credentials, type SdkClient } from '../connections/sdk-client.ts';
import { check, having, optional, optionsOf, STRING, type Type, type Types } from '../input/checks.ts';
import { ACTION_OF } from '../operations/operation-name.ts';
import { signatureFaultOf } from '../connections/signature-fault.ts';
import {
  clockRefusal,
  credentialsError,
  KeyfoldTransportError,
  refusal,
  secondsOf,
  serviceError,
  type KeyfoldClientError,
  type TransportErrorCode,
} from './errors.ts';
import { jsonOf } from './json.ts';
import { ANSWER_AFTER_FREEZE_MS, type ClientAnswer, type ClientCall, type Transport } from './transport.ts';

/**
 * The Lambda functions to invoke: either one function for all operations, or one that encrypts and rewraps and another
 * that decrypts.
 */
export type KeyfoldFunctions = string | { readonly seal: string; readonly open: string };

/** Options of {@link LambdaTransport}. */
export interface LambdaTransportOptions {
  /** Function names or ARNs. To invoke an alias or a version, append `:` and its name. */
  readonly functions: KeyfoldFunctions;
  /** The AWS credentials to invoke with. Default: the credentials that the AWS SDK finds in its environment. */
  readonly credentials?: Credentials;
  /**
   * A `LambdaClient` of the AWS SDK with `maxAttempts: 1`, because the Keyfold client already retries failed calls. The
   * transport does not close it. Default: a client with the SDK's default settings.
   */
  readonly client?: SdkClient;
}

/** Lambda's own pattern: a name, an ARN, or the end of an ARN. A version or an alias may follow. */
const FUNCTION =
  /^(?:arn:aws[a-z-]*:lambda:)?(?:[a-z]+(?:-[a-z]+)+-\d{1,2}:)?(?:\d{12}:)?(?:function:)?[\w.-]{1,140}(?::[\w$.-]{1,128})?$/;
const FUNCTION_NAME: Type = {
  called: 'the name or the ARN of a function',
  holds: (value) => STRING.holds(value) && FUNCTION.test(value as string),
};
const FUNCTIONS: Types<Exclude<KeyfoldFunctions, string>> = { seal: FUNCTION_NAME, open: FUNCTION_NAME };
const OPTIONS: Types<LambdaTransportOptions> = {
  functions: {
    called: 'a name or an object with seal and open',
    holds: (value) => STRING.holds(value) || having().holds(value),
  },
  credentials: optional(CREDENTIALS),
  client: optional(sdkClient('Lambda', 'a LambdaClient')),
};

/**
 * Calls Keyfold by invoking its Lambda functions directly.
 * @example
 * import { KeyfoldClient } from 'keyfold/client';
 * import { LambdaTransport } from 'keyfold/client/lambda';
 *
 * const keyfold = new KeyfoldClient({ lambda: new LambdaTransport({ functions: 'keyfold:live' }) });
 */
export class LambdaTransport implements Transport {
  readonly #functions: KeyfoldFunctions;
  readonly #client: LambdaClient;

  /**
   * @throws TypeError that names an option of the wrong type, an unknown option, or two options that cannot be combined
   */
  constructor(options: LambdaTransportOptions) {
    const { functions, credentials, client } = optionsOf(options, 'options', OPTIONS);
    if (typeof functions === 'string') check(functions, 'options.functions', FUNCTION_NAME);
    this.#functions = typeof functions === 'string' ? functions : optionsOf(functions, 'options.functions', FUNCTIONS);
    if (client !== undefined && credentials !== undefined) {
      throw new TypeError('options must not have both client and credentials.');
    }
    this.#client =
      (client as LambdaClient | undefined) ??
      new LambdaClient({
        credentials: credentials === undefined ? foundCredentials() : withTimeLimit(credentials),
        maxAttempts: 1,
        requestHandler: { connectionTimeout: 2000, ...keptConnections({ answerWithinMs: ANSWER_AFTER_FREEZE_MS }) },
      });
  }

  /** @throws TypeError if the SDK's client itself retries requests */
  async send({ partition, operation, members }: ClientCall, signal: AbortSignal): Promise<ClientAnswer> {
    if ((await this.#client.config.maxAttempts()) !== 1) {
      throw new TypeError('The Keyfold client retries by itself. Make the LambdaClient with maxAttempts: 1.');
    }
    // Load the credentials before the call, so that an error from STS does not look like an error from Lambda. The
    // SDK's client caches the credentials.
    await this.#client.config.credentials().catch((error: unknown) => {
      throw credentialsError(error);
    });
    const command = new InvokeCommand({
      FunctionName: this.#functionFor(operation),
      Payload: Buffer.from(jsonOf({ ...members, operation, partition }) ?? ''),
    });
    const invoke = (): Promise<InvokeCommandOutput> => this.#invoke(command, signal);
    const sent = invoke().catch(async (error: unknown) => {
      const fault = signatureFaultOf(error);
      if (fault === undefined || signal.aborted) throw error;
      // After a clock error, the SDK has already set its clock by the date of the response. So it signs the next
      // request with the correct time.
      if (fault === 'credentials') await this.#client.config.credentials({ forceRefresh: true }).catch(() => {});
      return invoke();
    });
    const { Payload, FunctionError, $metadata } = await sent.catch((error: unknown) => {
      throw asTransportError(error);
    });
    const { requestId } = $metadata;
    const value = parse(Payload);
    if (FunctionError !== undefined) throw failureOf(value, requestId);
    if (value !== undefined) return { value, requestId };
    throw new KeyfoldTransportError('UnexpectedAnswer', 'The function did not answer with JSON.', { requestId });
  }

  /**
   * Sends a command, and puts the SDK client's agents under the freeze guard. The method looks for agents before and
   * after the request, because a caller's client makes its agents only during its first request.
   */
  async #invoke(command: InvokeCommand, abortSignal: AbortSignal): Promise<InvokeCommandOutput> {
    const { requestHandler } = this.#client.config;
    guardHandler(requestHandler);
    try {
      return await this.#client.send(command, { abortSignal });
    } finally {
      guardHandler(requestHandler);
    }
  }

  #functionFor(operation: ClientCall['operation']): string {
    if (typeof this.#functions === 'string') return this.#functions;
    return ACTION_OF[operation] === 'decrypt' ? this.#functions.open : this.#functions.seal;
  }
}

/** Parses JSON. Returns undefined for any other payload. */
function parse(payload: Uint8Array | undefined): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    return undefined;
  }
}

/** The message of a function's timeout. Some of Lambda's responses have this message, but no type. */
const TIMED_OUT = /\bTask timed out after [\d.]+ seconds$/;

/**
 * Turns a function error into a client error. Keyfold reports its codes as `errorType`; Lambda reports crashes and
 * timeouts.
 */
function failureOf(value: unknown, requestId: string | undefined): KeyfoldClientError {
  const { errorType, errorMessage } = (value ?? {}) as {
    readonly errorType?: unknown;
    readonly errorMessage?: unknown;
  };
  const error = serviceError(errorType, errorMessage, { requestId });
  if (error !== undefined) return error;
  const kind = typeof errorType === 'string' && /^[\w.]{1,64}$/.test(errorType) ? errorType : 'an unnamed error';
  if (kind === 'Sandbox.Timedout' || (errorType === undefined && TIMED_OUT.test(String(errorMessage)))) {
    return new KeyfoldTransportError('TimedOut', 'The function timed out before it answered.', { requestId });
  }
  return new KeyfoldTransportError('FunctionFailed', `The function failed with ${kind}.`, { requestId });
}

/**
 * Lambda's errors for a function that it cannot run. The list contains only errors whose HTTP status would lead to the
 * wrong code.
 */
const CODES: Readonly<Record<string, TransportErrorCode>> = {
  // Transient errors: a retry may succeed.
  CodeArtifactUserPendingException: 'Unavailable',
  EFSIOException: 'Unavailable',
  EFSMountTimeoutException: 'Unavailable',
  EFSMountConnectivityException: 'Unavailable',
  EC2ThrottledException: 'Throttled',
  RequestLimitExceeded: 'Throttled',
  ResourceConflictException: 'Unavailable',
  ResourceNotReadyException: 'Unavailable',
  S3FilesMountConnectivityException: 'Unavailable',
  S3FilesMountTimeoutException: 'Unavailable',
  SnapStartNotReadyException: 'Unavailable',
  SnapStartRegenerationFailureException: 'Unavailable',
  SnapStartTimeoutException: 'Unavailable',
  // Permanent errors: an operator must change the function.
  CodeArtifactUserDeletedException: 'FunctionFailed',
  CodeArtifactUserFailedException: 'FunctionFailed',
  EC2AccessDeniedException: 'FunctionFailed',
  EFSMountFailureException: 'FunctionFailed',
  InvalidRuntimeException: 'FunctionFailed',
  InvalidSecurityGroupIDException: 'FunctionFailed',
  InvalidSubnetIDException: 'FunctionFailed',
  InvalidZipFileException: 'FunctionFailed',
  KMSAccessDeniedException: 'FunctionFailed',
  KMSDisabledException: 'FunctionFailed',
  KMSNotFoundException: 'FunctionFailed',
  ModeNotSupportedException: 'FunctionFailed',
  NoPublishedVersionException: 'FunctionFailed',
  RecursiveInvocationException: 'FunctionFailed',
  S3FilesMountFailureException: 'FunctionFailed',
  SnapStartException: 'FunctionFailed',
};

/**
 * Turns an SDK error into a transport error if Lambda responded or the network failed. Any other error is returned
 * unchanged, because it means that the configuration of the client is wrong.
 */
function asTransportError(thrown: unknown): unknown {
  const { name, code, $metadata, $response } = thrown as {
    readonly name?: string;
    readonly code?: unknown;
    readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string };
    readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> };
  };
  const status = $metadata?.httpStatusCode ?? $response?.statusCode;
  if (status !== undefined && status !== 200) {
    const headers = $response?.headers;
    const details = {
      requestId: $metadata?.requestId,
      retryAfterSeconds: secondsOf(headers?.['retry-after'], headers?.['date']),
    };
    const service = `Lambda (${name})`;
    if (signatureFaultOf(thrown) === 'clock') return clockRefusal(service, status, 0, details);
    // A proxy may send any name, such as `constructor`.
    const known = name !== undefined && Object.hasOwn(CODES, name) ? CODES[name] : undefined;
    return known === undefined
      ? refusal(service, status, details)
      : new KeyfoldTransportError(known, `${service} answered with status ${status}.`, details);
  }
  // A network error has a code. A status of 200 with an error means that the connection broke before the body was
  // complete.
  const fault = typeof code === 'string' ? code : name;
  if (fault === code || name === 'TimeoutError' || status === 200) {
    return new KeyfoldTransportError('Unreachable', `Lambda could not be reached: ${fault}.`);
  }
  return thrown;
}
