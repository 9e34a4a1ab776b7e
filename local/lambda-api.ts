import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isFromThisMachine, readBody } from '../emulators/http-body.ts';
import { FUNCTION_TIMEOUT_MS, FunctionFailure, type LocalFunction } from './local-function.ts';

/** Lambda's own limits: of an event and of an answer. */
const MAX_PAYLOAD_BYTES = 6 * 1024 * 1024;
/** Where the functions are, as their context says. */
const NAME = /^(?:(?:arn:aws:lambda:us-west-2:)?111122223333:function:)?([^:]+)(?::([^:]+))?$/;
/** What the SDKs send with any request, and what is emulated. */
const HEADERS = /^x-amz-(?:content-sha256|date|invocation-type|log-type|security-token|user-agent)$/;
const INVOKE = /^\/2015-03-31\/functions\/([^/?]+)\/invocations(?:\?.*)?$/;

/** What Lambda answers with: a status, headers and JSON text. */
interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Lambda's Invoke API, for the AWS CLI and SDKs with their endpoint set to this server. It checks no signature, so it answers
 * this machine alone.
 * @param functions by the names that they are invoked by
 * @returns whether the request was one of that API's, and has been answered
 */
export async function answerInvoke(
  functions: Readonly<Record<string, LocalFunction>>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const [, name] = INVOKE.exec(request.url ?? '') ?? [];
  if (name === undefined || request.method !== 'POST') return false;
  const requestId = randomUUID();
  const { status, headers, body } = isFromThisMachine(request)
    ? await invoke(functions, name, request, requestId)
    : refusal(403, 'AccessDeniedException', 'Only programs on this machine may invoke functions here.');
  response.writeHead(status, { 'x-amzn-requestid': requestId, ...headers });
  response.end(body);
  return true;
}

async function invoke(
  functions: Readonly<Record<string, LocalFunction>>,
  segment: string,
  request: IncomingMessage,
  requestId: string,
): Promise<Answer> {
  const named = readName(segment);
  const asked = new Map(Object.entries(functions)).get(named.name);
  const foreign = Object.keys(request.headers).find((name) => name.startsWith('x-amz-') && !HEADERS.test(name));
  const body = await readBody(request, MAX_PAYLOAD_BYTES);
  if (body === undefined) return refusal(413, 'RequestTooLargeException', 'The event is larger than 6 MiB.');
  if (asked === undefined) return refusal(404, 'ResourceNotFoundException', 'There is no such function.');
  const { 'x-amz-log-type': logType = 'None' } = request.headers;
  const { searchParams } = new URL(request.url ?? '', 'http://127.0.0.1');
  const qualifier = searchParams.get('Qualifier') ?? named.qualifier;
  if (logType !== 'None') return refusal(400, 'InvalidParameterValueException', 'Log types are not emulated.');
  if (foreign !== undefined)
    return refusal(400, 'InvalidParameterValueException', `The header ${foreign} is not emulated.`);
  if (qualifier !== '$LATEST') return refusal(404, 'ResourceNotFoundException', 'There is no such version or alias.');
  const payload = body.length === 0 ? '{}' : body.toString();
  if (!isJson(payload)) return refusal(400, 'InvalidRequestContentException', 'The event is not JSON.');
  switch (request.headers['x-amz-invocation-type'] ?? 'RequestResponse') {
    case 'RequestResponse':
      return respond(asked, payload, requestId);
    case 'Event':
      // Nobody is told, as with Lambda; it would try again, and this does not.
      asked.run(payload, FUNCTION_TIMEOUT_MS, requestId).catch(() => {});
      return { status: 202, headers: {}, body: '' };
    case 'DryRun':
      return { status: 204, headers: {}, body: '' };
    default:
      return refusal(400, 'InvalidParameterValueException', 'There is no such invocation type.');
  }
}

async function respond(asked: LocalFunction, payload: string, requestId: string): Promise<Answer> {
  const headers = { 'content-type': 'application/json', 'x-amz-executed-version': '$LATEST' };
  try {
    const body = await asked.run(payload, FUNCTION_TIMEOUT_MS, requestId);
    if (Buffer.byteLength(body) <= MAX_PAYLOAD_BYTES) return { status: 200, headers, body };
    return failed(headers, { errorType: 'Function.ResponseSizeTooLarge', errorMessage: 'The answer is over 6 MiB.' });
  } catch (error) {
    if (error instanceof FunctionFailure) return failed(headers, error.told);
    // It does not start, or has ended: as here, Lambda tells what the runtime said last.
    const { name: errorType, message: errorMessage } = error as Error;
    return failed(headers, { errorType, errorMessage, trace: [] });
  }
}

function failed(headers: Answer['headers'], told: object): Answer {
  return { status: 200, headers: { ...headers, 'x-amz-function-error': 'Unhandled' }, body: JSON.stringify(told) };
}

/** An error of Lambda's own. */
function refusal(status: number, type: string, message: string): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json', 'x-amzn-errortype': type, connection: 'close' },
    body: JSON.stringify({ Type: 'User', Message: message }),
  };
}

/** A function is named by its name, or by its ARN or the end of it, with or without a version. Anything else names none. */
function readName(segment: string): { name: string; qualifier: string } {
  const [, name = '', qualifier = '$LATEST'] = NAME.exec(decoded(segment)) ?? [];
  return { name, qualifier };
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
