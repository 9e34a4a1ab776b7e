import middy, { type MiddlewareObj } from '@middy/core';
import type { APIGatewayProxyEvent, APIGatewayProxyEventV2, Context } from 'aws-lambda';
import type { AuthConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import type { JsonObject } from '../input/json-object.ts';
import { HTTP_PARTITION } from '../operations/http-partition.ts';
import { isOperationName } from '../operations/operation-name.ts';
import { audited, type AuditSubject } from './audit.ts';
import { authenticate, authorize, principalOf } from './authorize.ts';
import { isRequest, unexpectedEvent } from './event-source.ts';
import { doorHandler, FailedInvocation, type Handler } from './handler.ts';
import type { HttpRequest } from './http-event.ts';
import { checkTarget, methodsOf, pathOf, readTarget, type Target } from './http-path.ts';
import { bodyLimitBytes, readBody } from './http-request.ts';
import { httpRequestOf } from './payload-formats.ts';
import { MAX_ANSWER_BYTES, perform, type DoorOptions } from './perform.ts';
import { problemResponse, type HttpAnswer } from './problem.ts';
import { readiness } from './readiness.ts';

/** The longest time that a request may take. HTTP APIs give up after 30 s, and REST APIs after 29 s. */
const MAX_ANSWER_MS = 28_000;
/**
 * The maximum number of bytes that a UTF-16 code unit takes in a response. In UTF-8, a code unit takes up to three
 * bytes, and an escaped quotation mark takes two. Lone surrogates and control characters would take more. But a
 * response contains no lone surrogates, and its only control characters are white space.
 */
const MAX_BYTES_PER_CHARACTER = 3;

/** Dependencies of the HTTP door. */
export interface HttpDoorOptions extends DoorOptions {
  readonly auth: AuthConfig;
  /** Returns the last known state of the KMS regions and the metastore as a JSON value, without calling them. */
  readonly health: () => unknown;
}

/** An event that the door serves. The door refuses all other events. */
type HttpEvent = APIGatewayProxyEventV2 | APIGatewayProxyEvent;

/** A Lambda handler for HTTP APIs, REST APIs and function URLs. */
export type HttpHandler = Handler<HttpEvent, HttpAnswer>;

/** Returns the JSON text of the response to a GET request. */
type Resource = (context: Context) => Promise<string>;

const EXPECTED =
  'requests of an API Gateway HTTP API (payload format 2.0 or 1.0), of a REST API, or of a function URL with AWS_IAM';

/**
 * Creates the HTTP door. It reads the partition and the operation from the route's parameters, because API Gateway
 * authorized those values. If the route has none, as with `$default` or `/{proxy+}`, the door reads both from the
 * literal path. It refuses a request if its path does not spell the partition and the operation exactly as they were
 * read.
 */
export function httpDoor(options: HttpDoorOptions): HttpHandler {
  const ready = readiness((limits) => options.keyfold.checkSystemKey(limits), options.now);
  const resources: Readonly<Record<string, Resource>> = {
    '/v1/health': async () => JSON.stringify(options.health()),
    '/v1/ready': async (context) => {
      await ready(remainingMs(context) - options.config.deadlineMarginMs);
      return '{"ready":true}';
    },
    '/v1/openapi.json': openApiText,
  };
  return middy<HttpEvent, HttpAnswer>({ timeoutEarlyInMillis: 0 })
    .use(PROBLEMS)
    .handler(
      doorHandler(options.telemetry, async (event, context) => {
        const request = await httpRequestOf(event);
        if (request === undefined) throw unexpectedEvent(EXPECTED);
        return inFormOf(request, await route(options, resources, request, context));
      }),
    );
}

/** Adds the member that only responses in payload format 1.0 need. */
function inFormOf({ saysBase64 }: HttpRequest, answer: HttpAnswer): HttpAnswer {
  return saysBase64 ? { ...answer, isBase64Encoded: false } : answer;
}

async function route(
  options: HttpDoorOptions,
  resources: Readonly<Record<string, Resource>>,
  request: HttpRequest,
  context: Context,
): Promise<HttpAnswer> {
  const found = authenticate(options.auth, request);
  const { method } = request;
  const target = method === 'POST' ? readTarget(request) : undefined;
  if (target !== undefined) return operate(options, request, target, context, found);
  const { pathInApi = '' } = request;
  const path = Object.hasOwn(resources, pathInApi) ? pathInApi : (pathOf(request) ?? '');
  const resource = Object.hasOwn(resources, path) ? resources[path] : undefined;
  const isOperation = isOperationName(path.slice(path.lastIndexOf('/') + 1));
  if (resource === undefined && (method === 'POST' || !isOperation)) {
    throw new KeyfoldError('NotFound', 'The API has no such path.');
  }
  if (resource === undefined || (method !== 'GET' && method !== 'HEAD')) {
    throw new KeyfoldError('MethodNotAllowed', `This path supports only ${methodsOf(path)}.`);
  }
  const answer = json(await resource(context));
  return method === 'HEAD' ? { ...answer, body: '' } : answer;
}

async function operate(
  options: HttpDoorOptions,
  request: HttpRequest,
  target: Target,
  context: Context,
  found: JsonObject,
): Promise<HttpAnswer> {
  const { partition, operation } = target;
  const principal = principalOf(options.auth, found);
  // An invalid partition name may be any text, so the audit line omits the name.
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
    checkTarget(request, target);
    const body = await readBody(request, operation, bodyLimitBytes(operation, options.config.plaintextLimitBytes));
    trail.requestRead(body.value);
    const call = { partition, operation, request: body };
    return json(await perform(options, call, { remainingMs: remainingMs(context), answerFits, trail }));
  });
}

function remainingMs(context: Context): number {
  return Math.min(context.getRemainingTimeInMillis(), MAX_ANSWER_MS);
}

/**
 * Whether a body fits into Lambda's response, which contains it as a JSON string with escaped quotation marks. Only a
 * body that may be too large is measured exactly, because escaping a megabyte takes longer than sealing it.
 */
function answerFits(answer: string): boolean {
  const maxBytes = answer.length * MAX_BYTES_PER_CHARACTER;
  return maxBytes <= MAX_ANSWER_BYTES || Buffer.byteLength(JSON.stringify(answer)) <= MAX_ANSWER_BYTES;
}

/**
 * Middleware that responds to a failed request with a problem document (RFC 9457). Only an HTTP client reads the status
 * of a response. For any other event the invocation must fail, because its sender would mistake any response for a
 * success.
 */
const PROBLEMS: MiddlewareObj<HttpEvent, HttpAnswer> = {
  onError: async (failed) => {
    const { error, event, context } = failed;
    if (!(error instanceof FailedInvocation) || !isRequest(event)) return;
    const { requestId } = event.requestContext;
    const problem = problemResponse(error.reason, typeof requestId === 'string' ? requestId : context.awsRequestId);
    const request = await httpRequestOf(event);
    if (request === undefined) failed.response = problem;
    else failed.response = inFormOf(request, withHints(problem, error.reason, request));
  },
};

/** Adds the headers that say what the client may send instead (RFC 9110, 15.5.6 and 15.5.16). */
function withHints(problem: HttpAnswer, { code }: KeyfoldError, request: HttpRequest): HttpAnswer {
  const hints = {
    ...(code === 'MethodNotAllowed' && { allow: methodsOf(pathOf(request) ?? '') }),
    ...(code === 'UnsupportedMediaType' && { accept: 'application/json', 'accept-encoding': 'identity' }),
  };
  return { ...problem, headers: { ...problem.headers, ...hints } };
}

/** Returns the OpenAPI document. To keep cold starts short, it is loaded at the first request for it. */
async function openApiText(): Promise<string> {
  const { default: document } = await import('../../docs/openapi.json', { with: { type: 'json' } });
  return JSON.stringify(document);
}

function json(body: string): HttpAnswer {
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body,
  };
}
