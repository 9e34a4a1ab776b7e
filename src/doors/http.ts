import middy, { type MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2, Context } from 'aws-lambda';
import type { AuthConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import { HTTP_PARTITION } from '../operations/http-partition.ts';
import { audited, type AuditSubject } from './audit.ts';
import { authenticate, authorize, principalOf } from './authorize.ts';
import { isFromGateway, isRequest, unexpectedEvent } from './event-source.ts';
import { doorHandler, FailedInvocation, type Handler } from './handler.ts';
import { checkTarget, methodsOf, pathOf, readTarget } from './http-path.ts';
import { bodyLimitBytes, readBody } from './http-request.ts';
import { MAX_ANSWER_BYTES, perform, type DoorOptions } from './perform.ts';
import { problemResponse } from './problem.ts';

/** The longest time for a request, in milliseconds. API Gateway gives up after 30 s. */
const MAX_ANSWER_MS = 28_000;
/**
 * The most bytes that a UTF-16 code unit can take in an answer. UTF-8 takes up to three bytes, and an escaped quotation
 * mark two. Lone surrogates and control characters would take more, but an answer contains none except white space.
 */
const MAX_BYTES_PER_CHARACTER = 3;

/** Dependencies of the HTTP door. */
export interface HttpDoorOptions extends DoorOptions {
  readonly auth: AuthConfig;
  /** Returns the last known state of the KMS regions and the metastore as a JSON value, without calling them. */
  readonly health: () => unknown;
}

/** A Lambda handler for API Gateway HTTP APIs with payload format 2.0. */
export type HttpHandler = Handler<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>;

/**
 * Creates the HTTP door. The door uses the route and the path parameters that API Gateway has matched, because API
 * Gateway authorized exactly those. It refuses a request if the path spells them differently.
 */
export function httpDoor(options: HttpDoorOptions): HttpHandler {
  return middy<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2>({ timeoutEarlyInMillis: 0 })
    .use(PROBLEMS)
    .handler(doorHandler(options.telemetry, (event, context) => route(options, event, context)));
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

/** Answers a request that matches no route of API Gateway: a HEAD request, a wrong method or an unknown path. */
async function answerUnmatched(
  options: HttpDoorOptions,
  event: APIGatewayProxyEventV2,
  context: Context,
): Promise<APIGatewayProxyStructuredResultV2> {
  const path = pathOf(event);
  if (path === undefined) throw new KeyfoldError('NotFound', 'The API has no such path.');
  const routeKey = `GET ${path}`;
  const isHead = event.requestContext.http.method === 'HEAD' && methodsOf(path).includes('HEAD');
  if (isHead) return { ...(await route(options, { ...event, routeKey }, context)), body: '' };
  throw new KeyfoldError('MethodNotAllowed', `This path supports only ${methodsOf(path)}.`);
}

async function operate(
  options: HttpDoorOptions,
  event: APIGatewayProxyEventV2,
  context: Context,
  found: Readonly<Record<string, unknown>>,
): Promise<APIGatewayProxyStructuredResultV2> {
  const { partition, operation } = readTarget(event);
  const principal = principalOf(options.auth, found);
  // An invalid partition name may be any text, so the audit omits the name.
  const named = HTTP_PARTITION.test(partition) ? partition : '';
  const subject: AuditSubject = {
    door: 'http',
    requestId: context.awsRequestId,
    principal,
    operation,
    partition: named,
  };
  return audited(options.telemetry, subject, async (trail) => {
    authorize(options.auth, found, partition, operation);
    checkTarget(event, { partition, operation });
    const request = readBody(event, operation, bodyLimitBytes(operation, options.config.plaintextLimitBytes));
    trail.requestRead(request.value);
    const remainingMs = Math.min(context.getRemainingTimeInMillis(), MAX_ANSWER_MS);
    return json(await perform(options, { partition, operation, request }, { remainingMs, answerFits, trail }));
  });
}

/**
 * Whether an answer fits into Lambda's response, in which the answer is a JSON string with escaped quotation marks.
 * Only an answer that may be too large is measured exactly, because escaping a megabyte takes longer than sealing it.
 */
function answerFits(answer: string): boolean {
  const maxBytes = answer.length * MAX_BYTES_PER_CHARACTER;
  return maxBytes <= MAX_ANSWER_BYTES || Buffer.byteLength(JSON.stringify(answer)) <= MAX_ANSWER_BYTES;
}

/**
 * Middleware that answers a failed request with a problem document (RFC 9457). Only an HTTP client reads the status of
 * a response. For any other event the invocation must fail, because its sender would take a response for a success.
 */
const PROBLEMS: MiddlewareObj<APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2> = {
  onError: (request) => {
    const { error, event, context } = request;
    if (!(error instanceof FailedInvocation) || !isRequest(event)) return;
    const response = problemResponse(error.reason, event.requestContext.requestId ?? context.awsRequestId);
    request.response = { ...response, headers: { ...response.headers, ...hintsOf(error.reason, event) } };
  },
};

/** Headers that list what the client may use instead (RFC 9110, 15.5.6 and 15.5.16). */
function hintsOf({ code }: KeyfoldError, event: APIGatewayProxyEventV2): Record<string, string> {
  if (code === 'MethodNotAllowed') return { allow: methodsOf(pathOf(event) ?? '') };
  return code === 'UnsupportedMediaType' ? { accept: 'application/json', 'accept-encoding': 'identity' } : {};
}

/** Returns the OpenAPI document. It is loaded on the first request for it, to keep cold starts short. */
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
