import { InvokeCommand, LambdaClient, type InvokeCommandOutput } from '@aws-sdk/client-lambda';
import { guardHandler, keptConnections } from '../connections/agents.ts';
import { having, optional, optionsOf, STRING, type Types } from '../input/checks.ts';
import { ACTION_OF } from '../operations/operation-name.ts';
import { signatureFaultOf } from '../connections/signature-fault.ts';
import {
  clockRefusal,
  KeyfoldTransportError,
  refusal,
  secondsOf,
  serviceError,
  withoutCredentials,
  type KeyfoldClientError,
  type TransportErrorCode,
} from './errors.ts';
import { jsonOf } from './json.ts';
import { ANSWER_AFTER_FREEZE_MS, type ClientAnswer, type ClientCall, type Transport } from './transport.ts';

/** Which functions there are: one that does everything, or one that seals (and rewraps) and one that opens. */
export type KeyfoldFunctions = string | { readonly seal: string; readonly open: string };

/** What a {@link LambdaTransport} needs. */
export interface LambdaTransportOptions {
  /** Names or ARNs, with an alias or a version behind `:` if need be. */
  readonly functions: KeyfoldFunctions;
  /** With `maxAttempts: 1`: when to try again is Keyfold's client to say. One with the SDK's defaults is made unless given. */
  readonly client?: LambdaClient;
}

const SENDING = having('send');
const CONFIGURED = having('maxAttempts', 'credentials');
const FUNCTIONS: Types<Exclude<KeyfoldFunctions, string>> = { seal: STRING, open: STRING };
const OPTIONS: Types<LambdaTransportOptions> = {
  functions: {
    called: 'a name or an object with seal and open',
    holds: (value) => STRING.holds(value) || having().holds(value),
  },
  client: optional({
    called: 'a LambdaClient',
    holds: (value) => SENDING.holds(value) && CONFIGURED.holds((value as LambdaClient).config),
  }),
};

/** The way to Keyfold by direct invocation. */
export class LambdaTransport implements Transport {
  readonly #functions: KeyfoldFunctions;
  readonly #client: LambdaClient;

  /** @throws TypeError naming an option of a wrong type, and one that there is not */
  constructor(options: LambdaTransportOptions) {
    const { functions, client } = optionsOf(options, 'lambda', OPTIONS);
    this.#functions = typeof functions === 'string' ? functions : optionsOf(functions, 'lambda.functions', FUNCTIONS);
    this.#client =
      client ??
      new LambdaClient({
        maxAttempts: 1,
        requestHandler: { connectionTimeout: 2000, ...keptConnections({ answerWithinMs: ANSWER_AFTER_FREEZE_MS }) },
      });
  }

  /** @throws TypeError where the SDK's client would try again by itself, too */
  async send({ partition, operation, members }: ClientCall, signal: AbortSignal): Promise<ClientAnswer> {
    if ((await this.#client.config.maxAttempts()) !== 1) {
      throw new TypeError("Keyfold's client retries by itself: make the LambdaClient with maxAttempts: 1.");
    }
    // First of all, and kept by the client: what fails here is not Lambda, though it may look the same.
    await this.#client.config.credentials().catch((error: unknown) => {
      throw withoutCredentials(error);
    });
    const command = new InvokeCommand({
      FunctionName: this.#functionFor(operation),
      Payload: Buffer.from(jsonOf({ ...members, operation, partition }) ?? ''),
    });
    const invoke = (): Promise<InvokeCommandOutput> => this.#invoke(command, signal);
    const sent = invoke().catch(async (error: unknown) => {
      const fault = signatureFaultOf(error);
      if (fault === undefined || signal.aborted) throw error;
      // From the answer's date the SDK has learnt by how much the clock is off. It signs the next request by that.
      if (fault === 'credentials') await this.#client.config.credentials({ forceRefresh: true }).catch(() => {});
      return invoke();
    });
    const { Payload, FunctionError, $metadata } = await sent.catch((error: unknown) => {
      throw asTransportError(error);
    });
    const { requestId } = $metadata;
    const value = parse(Payload, requestId);
    if (FunctionError !== undefined) throw failureOf(value, requestId);
    return { value, requestId };
  }

  /** A client of the caller's own makes its agents with its first request, so they are guarded from then on. */
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

function parse(payload: Uint8Array | undefined, requestId: string | undefined): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
  } catch {
    throw new KeyfoldTransportError('UnexpectedAnswer', 'The function has not answered with JSON.', { requestId });
  }
}

/** What a function threw: one of our codes, or what Lambda says of a function that did not get so far. */
function failureOf(value: unknown, requestId: string | undefined): KeyfoldClientError {
  const { errorType, errorMessage } = (value ?? {}) as {
    readonly errorType?: unknown;
    readonly errorMessage?: unknown;
  };
  const error = serviceError(errorType, errorMessage, { requestId });
  if (error !== undefined) return error;
  const kind = typeof errorType === 'string' && /^[\w.]{1,64}$/.test(errorType) ? errorType : 'an unnamed error';
  if (kind === 'Sandbox.Timedout') {
    return new KeyfoldTransportError('TimedOut', "The function's time was up before it answered.", { requestId });
  }
  return new KeyfoldTransportError('FunctionFailed', `The function has failed with ${kind}.`, { requestId });
}

/** What Lambda says of a function that it cannot run, if the status alone would mislead. */
const CODES: Readonly<Record<string, TransportErrorCode>> = {
  // These pass.
  EFSIOException: 'Unavailable',
  EFSMountTimeoutException: 'Unavailable',
  EFSMountConnectivityException: 'Unavailable',
  EC2ThrottledException: 'Throttled',
  RequestLimitExceeded: 'Throttled',
  ResourceConflictException: 'Unavailable',
  ResourceNotReadyException: 'Unavailable',
  SnapStartNotReadyException: 'Unavailable',
  SnapStartTimeoutException: 'Unavailable',
  // These last until somebody changes the function.
  EC2AccessDeniedException: 'FunctionFailed',
  EFSMountFailureException: 'FunctionFailed',
  InvalidRuntimeException: 'FunctionFailed',
  InvalidSecurityGroupIDException: 'FunctionFailed',
  InvalidSubnetIDException: 'FunctionFailed',
  InvalidZipFileException: 'FunctionFailed',
  KMSAccessDeniedException: 'FunctionFailed',
  KMSDisabledException: 'FunctionFailed',
  KMSNotFoundException: 'FunctionFailed',
  SnapStartException: 'FunctionFailed',
};

/** What the SDK throws: an answer of Lambda's, the network's fault, or something that is wrong with the client's set-up. */
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
    const who = `Lambda (${name})`;
    if (signatureFaultOf(thrown) === 'clock') return clockRefusal(who, status, 0, details);
    const known = CODES[name ?? ''];
    return known === undefined
      ? refusal(who, status, details)
      : new KeyfoldTransportError(known, `${who} has answered with the status ${status}.`, details);
  }
  // A 200 whose body did not come.
  const fault = typeof code === 'string' ? code : name;
  if (fault === code || name === 'TimeoutError' || status === 200) {
    return new KeyfoldTransportError('Unreachable', `Lambda was not reached: ${fault}.`);
  }
  return thrown;
}
