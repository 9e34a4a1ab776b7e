import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isFromThisMachine, readBody } from '../emulators/http-body.ts';
import { FUNCTION_TIMEOUT_MS, FunctionFailure, type LocalFunction } from './local-function.ts';
import type { AnsweredRequest } from './request-log.ts';

/** Lambda's limit for an event and for a response. */
const MAX_PAYLOAD_BYTES = 6 * 1024 * 1024;
/** Lambda's limit for the event of an asynchronous invocation. */
const MAX_ASYNCHRONOUS_BYTES = 1024 * 1024;
/** The name of a function. It may have the prefix of a full or partial ARN, and a version. */
const NAME =
  /^(?=.{1,170}$)(?:(?:arn:aws[a-zA-Z-]*:lambda:)?([a-z]{2}(?:-[a-z]+){1,2}-\d):)?(?:(\d{12}):)?(?:function:)?([\w.-]+)(?::(\$LATEST|[\w-]+))?$/;
const REGION = 'us-west-2';
const ACCOUNT = '111122223333';
const LATEST = '$LATEST';
const INVOCATION_TYPES = ['RequestResponse', 'Event', 'DryRun'];
const LOG_TYPES = ['None', 'Tail'];
/** The accepted `x-amz-` headers: headers that every SDK sends, and headers that this API emulates. */
const HEADERS = /^x-amz-(?:content-sha256|date|invocation-type|log-type|security-token|user-agent)$/;
const INVOKE = /^\/2015-03-31\/functions\/([^/?]+)\/invocations(?:\?.*)?$/;
/** Matches the path of every action of Lambda: the path begins with the date of a version of the API. */
const ANY_ACTION = /^\/\d{4}-\d\d-\d\d\//;

/** A response of the Invoke API. The body is JSON text. */
interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Responds to requests to Lambda's Invoke API from AWS CLIs and SDKs whose endpoint is this server. It does not check
 * signatures, so it refuses requests from other machines and from web pages.
 * @param functions the functions by name
 * @returns what happened to the request. Undefined if it was not a request to Lambda. This function does not respond to
 * other requests.
 */
export async function answerInvoke(
  functions: Readonly<Record<string, LocalFunction>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Omit<AnsweredRequest, 'ms'> | undefined> {
  const { method, url = '' } = request;
  if (!ANY_ACTION.test(url)) return undefined;
  const [, name] = method === 'POST' ? (INVOKE.exec(url) ?? []) : [];
  const requestId = randomUUID();
  const { status, headers, body } = isFromThisMachine(request)
    ? await perform(functions, name, request, requestId)
    : refusal(403, 'AccessDeniedException', 'Only programs on this machine may invoke functions here.');
  response.writeHead(status, { 'x-amzn-requestid': requestId, ...headers });
  response.end(body);
  const what = name === undefined ? `${method} ${url}` : `INVOKE ${decoded(name)}`;
  return { what, outcome: outcomeOf(status, headers, body) };
}

function perform(
  functions: Readonly<Record<string, LocalFunction>>,
  name: string | undefined,
  request: IncomingMessage,
  requestId: string,
): Answer | Promise<Answer> {
  if (name !== undefined) return invoke(functions, name, request, requestId);
  const { method, url = '' } = request;
  return refusal(404, 'UnknownOperationException', `Only Invoke is emulated, not ${method} ${url}.`);
}

/** The status of a response, and the type of its error, if any. */
function outcomeOf(status: number, headers: Answer['headers'], body: string): string {
  const isFailed = 'x-amz-function-error' in headers;
  const { errorType = '' } = isFailed ? (JSON.parse(body) as { readonly errorType?: string }) : {};
  return [String(status), headers['x-amzn-errortype'] ?? errorType].join(' ').trim();
}

async function invoke(
  functions: Readonly<Record<string, LocalFunction>>,
  segment: string,
  request: IncomingMessage,
  requestId: string,
): Promise<Answer> {
  const named = NAME.exec(decoded(segment));
  const foreign = Object.keys(request.headers).find((name) => name.startsWith('x-amz-') && !HEADERS.test(name));
  const { 'x-amz-log-type': logType = 'None', 'x-amz-invocation-type': type = 'RequestResponse' } = request.headers;
  const body = await readBody(request, MAX_PAYLOAD_BYTES);
  if (body === undefined) return refusal(413, 'RequestTooLargeException', 'The event is larger than 6 MiB.');
  if (named === null) return refusal(400, 'ValidationException', 'The name of the function is malformed.');
  if (!INVOCATION_TYPES.includes(String(type)))
    return refusal(400, 'ValidationException', `The invocation type must be one of ${INVOCATION_TYPES.join(', ')}.`);
  if (!LOG_TYPES.includes(String(logType)))
    return refusal(400, 'ValidationException', `The log type must be one of ${LOG_TYPES.join(', ')}.`);
  const [, region = REGION, account = ACCOUNT, name = '', ofName] = named;
  const { searchParams } = new URL(request.url ?? '', 'http://127.0.0.1');
  const qualifier = searchParams.get('Qualifier') ?? ofName ?? LATEST;
  if (ofName !== undefined && qualifier !== ofName)
    return refusal(400, 'InvalidParameterValueException', 'The version in the name is not the one in the request.');
  const asked = region === REGION && account === ACCOUNT ? new Map(Object.entries(functions)).get(name) : undefined;
  if (asked === undefined) return refusal(404, 'ResourceNotFoundException', 'The function does not exist.');
  if (logType !== 'None') return refusal(400, 'InvalidParameterValueException', 'Log types are not emulated.');
  if (foreign !== undefined)
    return refusal(400, 'InvalidParameterValueException', `The header ${foreign} is not emulated.`);
  if (qualifier !== LATEST) return refusal(404, 'ResourceNotFoundException', 'The version or alias does not exist.');
  if (type === 'Event' && body.length > MAX_ASYNCHRONOUS_BYTES)
    return refusal(413, 'RequestTooLargeException', 'The event of an asynchronous invocation is larger than 1 MiB.');
  const payload = body.length === 0 ? '{}' : body.toString();
  if (!isUtf8(body) || !isJson(payload))
    return refusal(400, 'InvalidRequestContentException', 'The event is not JSON.');
  if (type === 'DryRun') return { status: 204, headers: {}, body: '' };
  if (type === 'RequestResponse') return respond(asked, payload, requestId);
  // As in Lambda, the caller does not learn of a failure. Lambda would retry twice, which this server does not do.
  asked.run(payload, FUNCTION_TIMEOUT_MS, requestId).catch(() => {});
  return { status: 202, headers: {}, body: '' };
}

async function respond(asked: LocalFunction, payload: string, requestId: string): Promise<Answer> {
  const headers = { 'content-type': 'application/json', 'x-amz-executed-version': LATEST };
  try {
    const body = await asked.run(payload, FUNCTION_TIMEOUT_MS, requestId);
    if (Buffer.byteLength(body) <= MAX_PAYLOAD_BYTES) return { status: 200, headers, body };
    return failed(headers, { errorType: 'Function.ResponseSizeTooLarge', errorMessage: 'The answer is over 6 MiB.' });
  } catch (error) {
    if (error instanceof FunctionFailure) return failed(headers, error.details);
    // The environment did not start, or it has ended. As in Lambda, the response contains the last error of the
    // runtime.
    const { name: errorType, message: errorMessage } = error as Error;
    return failed(headers, { errorType, errorMessage, trace: [] });
  }
}

function failed(headers: Answer['headers'], details: object): Answer {
  return { status: 200, headers: { ...headers, 'x-amz-function-error': 'Unhandled' }, body: JSON.stringify(details) };
}

/** Makes an error response that comes from the Lambda service, not from the function. */
function refusal(status: number, type: string, message: string): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json', 'x-amzn-errortype': type, connection: 'close' },
    body: JSON.stringify({ Type: 'User', Message: message }),
  };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return '';
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
