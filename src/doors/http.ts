import middy, { type MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import type { AuthConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import { HTTP_PARTITION } from '../operations/http-partition.ts';
import { audited, type AuditSubject } from './audit.ts';
import { authenticate, authorize, principalOf } from './authorize.ts';
import { isFromGateway, isRequest, unexpectedEvent } from './event-source.ts';
import { checkTarget, methodsOf, pathOf, readTarget } from './http-path.ts';
import { bodyLimitBytes, readBody } from './http-request.ts';
import { MAX_ANSWER_BYTES, perform, type DoorOptions } from './perform.ts';
import { problemResponse, statusOf, toKeyfoldError } from './problem.ts';
import type { Telemetry } from './telemetry.ts';

/** API Gateway answers at 30 s whatever we do. */
const MAX_ANSWER_MS = 28_000;
/** UTF-8 takes up to three for each of a string, and JSON two for a quotation mark. No answer has half a surrogate pair, nor a control character but white space. */
const MAX_BYTES_PER_CHARACTER = 3;

/** What the HTTP door needs. */
export interface HttpDoorOptions extends DoorOptions {
  readonly auth: AuthConfig;
  /** The state of the regions and the metastore as last seen, to be sent as JSON; makes no call. */
  readonly health: () => unknown;
}

/** A handler for API Gateway's HTTP APIs, payload format 2.0. */
export type HttpHandler = (
  event: APIGatewayProxyEventV2,
  context: Context,
) => Promise<APIGatewayProxyStructuredResultV2>;

/**
 * The HTTP door. It goes by the route that API Gateway matched, since that is what API Gateway authorized, and requires that the
 * path spells the same.
 */
export function httpDoor(options: HttpDoorOptions): HttpHandler {
  const { telemetry } = options;
  return middy<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>({ timeoutEarlyInMillis: 0 })
    .before(({ context }) => telemetry.begin(context))
    .after(() => telemetry.flush())
    .use(problems(telemetry))
    .handler((event, context) => route(options, event, context));
}

async function route(
  options: HttpDoorOptions,
  event: APIGatewayProxyEventV2,
  context: Context,
): Promise<APIGatewayProxyStructuredResultV2> {
  if (!isFromGateway(event)) throw unexpectedEvent('requests of an API Gateway HTTP API, payload format 2.0');
  const found = authenticate(options.auth, (event.requestContext as { authorizer?: unknown }).authorizer);
  switch (event.routeKey) {
    case 'POST /v1/partitions/{partition}/{operation}':
      return operate(options, event, context, found);
    case 'GET /v1/health':
      return json(JSON.stringify(options.health()));
    case 'GET /v1/openapi.json':
      return json(await openApiText());
    default:
      return answerUnmatched(options, event, context);
  }
}

/** A request for which API Gateway has no route: HEAD of what GET answers, another method, or another path. */
async function answerUnmatched(
  options: HttpDoorOptions,
  event: APIGatewayProxyEventV2,
  context: Context,
): Promise<APIGatewayProxyStructuredResultV2> {
  const path = pathOf(event);
  if (path === undefined) throw new KeyfoldError('NotFound', 'There is nothing at this path.');
  const routeKey = `GET ${path}`;
  const isHead = event.requestContext.http.method === 'HEAD' && methodsOf(path).includes('HEAD');
  if (isHead) return { ...(await route(options, { ...event, routeKey }, context)), body: '' };
  throw new KeyfoldError('MethodNotAllowed', `This path takes ${methodsOf(path)} and no other method.`);
}

async function operate(
  options: HttpDoorOptions,
  event: APIGatewayProxyEventV2,
  context: Context,
  found: Readonly<Record<string, unknown>>,
): Promise<APIGatewayProxyStructuredResultV2> {
  const { partition, operation } = readTarget(event);
  const principal = principalOf(options.auth, found);
  // What cannot be a partition here is not to be in the audit.
  const named = HTTP_PARTITION.test(partition) ? partition : '';
  const asked: AuditSubject = { door: 'http', requestId: context.awsRequestId, principal, operation, partition: named };
  return audited(options.telemetry, asked, async (trail) => {
    authorize(options.auth, found, partition, operation);
    checkTarget(event, { partition, operation });
    const request = readBody(event, bodyLimitBytes(operation, options.config.plaintextLimitBytes));
    const remainingMs = Math.min(context.getRemainingTimeInMillis(), MAX_ANSWER_MS);
    return json(await perform(options, { partition, operation, request }, { remainingMs, answerFits, trail }));
  });
}

/** An answer goes out inside another JSON text, with its quotation marks escaped. Most are told by their length: to escape a megabyte takes longer than to seal it. */
function answerFits(answer: string): boolean {
  const mostBytes = answer.length * MAX_BYTES_PER_CHARACTER;
  return mostBytes <= MAX_ANSWER_BYTES || Buffer.byteLength(JSON.stringify(answer)) <= MAX_ANSWER_BYTES;
}

/** Everything that is thrown becomes a problem document. */
function problems(telemetry: Telemetry): MiddlewareObj<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2> {
  return {
    onError: (request) => {
      const error = toKeyfoldError(request.error);
      telemetry.requestFailed(error, statusOf(error.code));
      telemetry.flush();
      const { event, context } = request;
      // Nobody who sends anything but a request would read a response: what is refused must not look done.
      if (!isRequest(event)) return;
      const response = problemResponse(error, event.requestContext.requestId ?? context.awsRequestId);
      request.response = { ...response, headers: { ...response.headers, ...hintsOf(error, event) } };
    },
  };
}

/** What a client may send instead (RFC 9110, 15.5.6 and 15.5.16). */
function hintsOf({ code }: KeyfoldError, event: APIGatewayProxyEventV2): Record<string, string> {
  if (code === 'MethodNotAllowed') return { allow: methodsOf(pathOf(event) ?? '') };
  return code === 'UnsupportedMediaType' ? { accept: 'application/json', 'accept-encoding': 'identity' } : {};
}

/** The API's document. It is loaded when it is asked for: a cold start does without. */
async function openApiText(): Promise<string> {
  const { default: document } = await import('../../docs/openapi.json', { with: { type: 'json' } });
  return JSON.stringify(document);
}

function json(body: string): APIGatewayProxyStructuredResultV2 {
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body,
  };
}
