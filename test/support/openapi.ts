import { Ajv2020 } from 'ajv/dist/2020.js';
import document from '../../docs/openapi.json' with { type: 'json' };
import type { APIGatewayProxyEventV2 } from 'aws-lambda';

/** An API Gateway event whose members a test can change. */
export type Event = APIGatewayProxyEventV2 & { requestContext: { authorizer?: unknown } };

/** The parsed response of the HTTP door. */
export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: Record<string, unknown>;
}

/** What the document says about one status of an operation. */
interface Response {
  readonly $ref?: string;
  readonly description?: string;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly content?: Readonly<Record<string, unknown>>;
}

/** What the document says about one operation. */
export interface DocumentedOperation {
  readonly requestBody?: { readonly content: { readonly 'application/json': { readonly example: unknown } } };
  readonly responses: Readonly<Record<string, Response>>;
  /** The accepted security schemes, each with the scopes that it requires. */
  readonly security?: readonly Readonly<Record<string, readonly string[] | undefined>>[];
}

/** The paths of the document, each with its operations by method. */
export const PATHS = document.paths as unknown as Readonly<
  Record<string, Readonly<Record<string, DocumentedOperation>>>
>;

const DOCUMENT_URL = 'https://keyfold.invalid/openapi.json';
const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema(document, DOCUMENT_URL);

/**
 * Checks a response of the HTTP door against the OpenAPI document: status, content type, headers and body. Does not
 * check paths that the document lacks.
 * @throws Error if the response differs from the document
 */
export function mustConform(event: Event, { status, headers, body }: Answer): void {
  // A HEAD request gets the response of the documented GET, but without a body.
  if (methodOf(event) === 'HEAD' && status === 200) return;
  const method = methodOf(event).toLowerCase();
  const path = documentedPathOf(event);
  // A catch-all route also accepts paths that the API does not have.
  const operation = status === 404 ? undefined : PATHS[path]?.[method];
  if (operation === undefined) {
    if (status < 400) throw new Error(`${path} is answered, and the document does not know it`);
    mustFit('#/components/schemas/Problem', body);
    mustBeProblem(status, body);
    return;
  }
  const given = operation.responses[status];
  if (given === undefined) throw new Error(`${path} is answered with ${status}, which the document does not know`);
  const pointer = given.$ref ?? `#/paths/${escape(path)}/${method}/responses/${status}`;
  const response = responseOf(given);
  const type = headers['content-type'] ?? '';
  if (response.content?.[type] === undefined) throw new Error(`${path} is answered ${status} with the type ${type}`);
  mustFit(`${pointer}/content/${escape(type)}/schema`, body);
  if (status >= 400) mustBeProblem(status, body, response);
  const promised = Object.keys(response.headers ?? {}).map((name) => name.toLowerCase());
  const missing = promised.filter((name) => headers[name] === undefined);
  if (missing.length > 0) throw new Error(`${path} is answered ${status} without ${missing.join()}`);
}

/**
 * The HTTP method of an event. Events of a REST API, and events in payload format 1.0, contain it in a different
 * member.
 */
function methodOf(event: Event): string {
  return (event as { httpMethod?: string }).httpMethod ?? event.requestContext.http.method;
}

/** The path as written in the document. A route contains this path, unless it is a catch-all route. */
function documentedPathOf({ routeKey, rawPath, pathParameters, ...rest }: Event): string {
  const { resource = routeKey, path = rawPath } = rest as { resource?: string; path?: string };
  const route = resource.replace(/^\w+ /, '');
  if (!isCatchAll(route)) return route.replace('{operation}', pathParameters?.['operation'] ?? '');
  const [, name = '', operation] = /\/v1\/([\w.]+)(?:\/[^/]+(\/[^/]+))?$/.exec(path) ?? [];
  return operation === undefined ? `/v1/${name}` : `/v1/${name}/{partition}${operation}`;
}

function isCatchAll(route: string): boolean {
  return route === '$default' || route.endsWith('+}');
}

/**
 * Checks what only the document's descriptions say about problems. The schema does not say this, because all errors
 * share one schema.
 * @param response the documented response of the operation, if the document has the operation
 */
function mustBeProblem(status: number, body: Answer['body'], response?: Response): void {
  const missing = ['type', 'title', 'status', 'code', 'detail', 'requestId'].filter((name) => !(name in body));
  if (missing.length > 0) throw new Error(`a problem has no ${missing.join()}`);
  if (body['status'] !== status) throw new Error(`a problem of status ${status} says ${String(body['status'])}`);
  if (response === undefined) return;
  const code = String(body['code']);
  const codes = [...(response.description ?? '').matchAll(/^(\w+): /gm)].map(([, name]) => name);
  if (!codes.includes(code)) throw new Error(`${code} is not among the documented codes: ${codes.join()}`);
  if ('retryAfterSeconds' in body !== 'Retry-After' in (response.headers ?? {}))
    throw new Error(`${code} and the documented Retry-After disagree on retryAfterSeconds`);
}

/** @param pointer a JSON pointer to a schema in the document */
function mustFit(pointer: string, value: unknown): void {
  const validate = ajv.getSchema(DOCUMENT_URL + pointer);
  if (validate === undefined) throw new Error(`the document has no schema at ${pointer}`);
  if (validate(value) !== true) throw new Error(`not as ${pointer} says: ${ajv.errorsText(validate.errors)}`);
}

/** Returns the response, or the response to which its `$ref` points. */
export function responseOf(given: Response): Response {
  if (given.$ref === undefined) return given;
  const name = given.$ref.replace('#/components/responses/', '');
  return (document.components.responses as Readonly<Record<string, Response>>)[name] ?? {};
}

/** Escapes a name for use in a JSON pointer within a URL. */
function escape(part: string): string {
  return encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'));
}
