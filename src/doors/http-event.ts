import { isJsonObject, membersOf, type JsonObject } from '../input/json-object.ts';

/** An HTTP request as the door reads it, whatever event it came in. */
export interface HttpRequest {
  readonly method: string;
  /** The path that the client sent. It begins with the stage or the base path of a custom domain, if there is one. */
  readonly path: string;
  /** The path within the API, which policies are about. Undefined if the event does not say where it begins. */
  readonly pathInApi: string | undefined;
  /** What API Gateway found in a route with `{partition}` and `{operation}`. Undefined for every other route. */
  readonly matched: { readonly partition: string; readonly operation: string } | undefined;
  /** What may precede the Keyfold path: the stage, or on a custom domain any base path. */
  readonly base: { readonly stage: string; readonly isCustomDomain: boolean };
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: unknown;
  readonly isBase64Encoded: boolean;
  /** What the authorizers passed on, by the kind of authorizer: `iam`, `jwt` or `lambda`. */
  readonly authorizer: JsonObject;
  readonly isFunctionUrl: boolean;
  /** Whether the answer must say that its body is not in base64, as payload format 1.0 has it. */
  readonly saysBase64: boolean;
}

/** The headers that the door reads. The others are not checked, because every request passes here. */
const READ_HEADERS = ['content-type', 'content-encoding'] as const;

/** The stage of API Gateway's console, whose test requests pass no authorizer. */
const TEST_STAGE = 'test-invoke-stage';

/**
 * Reads the request of an HTTP API (payload formats 1.0 and 2.0), a REST API or a function URL.
 * @returns undefined if the event is of another kind
 */
export function httpRequestOf(event: unknown): HttpRequest | undefined {
  const members = membersOf(event);
  // Events for a Lambda authorizer differ from requests only in having a type.
  if (members['type'] !== undefined) return undefined;
  return members['version'] === '2.0' ? requestOfFormat2(members) : requestOfFormat1(members);
}

function requestOfFormat2(event: JsonObject): HttpRequest | undefined {
  const { routeKey, rawPath, headers, pathParameters, body, isBase64Encoded } = event;
  const { http, domainName, apiId, stage, authorizer } = membersOf(event['requestContext']);
  const { method } = membersOf(http);
  if (!areTexts(routeKey, rawPath, method, domainName) || !isJsonObject(headers)) return undefined;
  if (!READ_HEADERS.every((name) => isTextOrAbsent(headers[name]))) return undefined;
  const isFunctionUrl = (domainName as string).includes('.lambda-url.');
  const base = { stage: String(stage), isCustomDomain: !isFunctionUrl && isCustomDomain(domainName, apiId) };
  const route = routeOf((routeKey as string).replace(/^[A-Z]+ /, ''), pathParameters, rawPath as string, base);
  if (route === undefined) return undefined;
  return {
    ...route,
    method: method as string,
    path: rawPath as string,
    base,
    headers: headers as HttpRequest['headers'],
    body,
    isBase64Encoded: isBase64Encoded === true,
    authorizer: membersOf(authorizer),
    isFunctionUrl,
    saysBase64: false,
  };
}

function requestOfFormat1(event: JsonObject): HttpRequest | undefined {
  const { version, resource, path, httpMethod, pathParameters, body, isBase64Encoded } = event;
  const context = membersOf(event['requestContext']);
  const { stage, apiId, domainName } = context;
  if (version !== undefined && version !== '1.0') return undefined;
  if (!areTexts(resource, path, httpMethod, stage, apiId)) return undefined;
  const headers = READ_HEADERS.map((name) => [name, headerOf(event, name)] as const);
  if (!headers.every(([, value]) => isTextOrAbsent(value))) return undefined;
  const base = { stage: stage as string, isCustomDomain: isCustomDomain(domainName, apiId) };
  const sent = longerOf(path as string, context['path'] ?? path);
  if (sent === undefined) return undefined;
  const route = routeOf(resource as string, pathParameters, sent, base);
  if (route === undefined) return undefined;
  return {
    ...route,
    method: httpMethod as string,
    path: sent,
    base,
    headers: Object.fromEntries(headers) as HttpRequest['headers'],
    body,
    isBase64Encoded: isBase64Encoded === true,
    authorizer: authorizerOf(context),
    isFunctionUrl: false,
    saysBase64: true,
  };
}

/**
 * Finds the path within the API. A route with parameters says it exactly: the route with its parameters filled in. For
 * the route `$default` it is what follows the stage, and on a custom domain the whole path.
 * @returns undefined if the parameters are not texts
 */
function routeOf(
  route: string,
  pathParameters: unknown,
  path: string,
  { stage, isCustomDomain: isCustom }: HttpRequest['base'],
): Pick<HttpRequest, 'pathInApi' | 'matched'> | undefined {
  const parameters = membersOf(pathParameters);
  const { partition, operation } = parameters;
  if (!isTextOrAbsent(partition) || !isTextOrAbsent(operation)) return undefined;
  if (route.startsWith('/')) {
    const isExact = route.includes('{partition}') && route.includes('{operation}');
    const matched = isExact ? { partition: partition ?? '', operation: operation ?? '' } : undefined;
    return { pathInApi: filledIn(route, parameters), matched };
  }
  const prefix = isCustom || stage === '$default' ? '' : `/${stage}`;
  return { pathInApi: path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : undefined, matched: undefined };
}

/**
 * The path with the stage or base path, of the two that payload format 1.0 has: a REST API leaves the stage out of one.
 * @returns undefined if one does not end with the other, such as if only one is decoded
 */
function longerOf(path: string, pathOfContext: unknown): string | undefined {
  if (typeof pathOfContext !== 'string') return undefined;
  const isLonger = pathOfContext.length >= path.length;
  const [longer, shorter] = isLonger ? [pathOfContext, path] : [path, pathOfContext];
  return withoutEncodedAt(longer).endsWith(withoutEncodedAt(shorter)) ? longer : undefined;
}

/** A route with its parameters in their places. Undefined if one of them is missing. */
function filledIn(route: string, parameters: JsonObject): string | undefined {
  let isComplete = true;
  const path = route.replaceAll(/\{([^{}]*?)\+?\}/g, (_, name: string) => {
    const value = parameters[name];
    isComplete &&= typeof value === 'string';
    return String(value);
  });
  return isComplete ? path : undefined;
}

/** Whether a domain is not API Gateway's own, nor that of an interface endpoint of a VPC. */
function isCustomDomain(domainName: unknown, apiId: unknown): boolean {
  if (typeof domainName !== 'string') return false;
  const [first = '', second = ''] = domainName.split('.');
  const isOwn = first === apiId || first.startsWith(`${String(apiId)}-vpce-`) || first.startsWith('vpce-');
  return !(isOwn && second === 'execute-api');
}

/** The values of a header of payload format 1.0, which has names as the client wrote them. */
function headerOf({ headers, multiValueHeaders }: JsonObject, name: string): unknown {
  const given = Object.entries({ ...membersOf(headers), ...membersOf(multiValueHeaders) });
  const values = given.flatMap(([given_, value]) => (given_.toLowerCase() === name ? value : []));
  if (values.length === 0) return undefined;
  return values.every((value) => typeof value === 'string') ? values.join(',') : null;
}

/**
 * Sorts out what payload format 1.0 has of authorizers. It has the IAM caller under `identity`, the claims of a token
 * under `claims`, and what a Lambda authorizer returned beside each other.
 */
function authorizerOf({ authorizer, identity, stage }: JsonObject): JsonObject {
  const { userArn } = membersOf(identity);
  const given = Object.entries(membersOf(authorizer)).filter(([, value]) => value !== null && value !== undefined);
  const context = Object.fromEntries(given);
  const isToken = isJsonObject(context['claims']) && given.every(([name]) => name === 'claims' || name === 'scopes');
  return {
    ...(typeof userArn === 'string' && stage !== TEST_STAGE && { iam: identity }),
    ...(given.length > 0 && { [isToken ? 'jwt' : 'lambda']: context }),
  };
}

/** A path with its `%40` as `@`, which is the only percent-encoding that Keyfold reads. */
export function withoutEncodedAt(path: string): string {
  return path.replaceAll('%40', '@');
}

function areTexts(...values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === 'string');
}

function isTextOrAbsent(value: unknown): value is string | undefined {
  return typeof value === 'string' || value === undefined;
}
