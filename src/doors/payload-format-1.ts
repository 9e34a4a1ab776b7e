import { isJsonObject, membersOf, type JsonObject } from '../input/json-object.ts';
import {
  areTexts,
  isCustomDomain,
  isTextOrAbsent,
  READ_HEADERS,
  routeOf,
  withoutEncodedAt,
  type HttpRequest,
} from './http-event.ts';

/** The stage in test requests from API Gateway's console, which do not go through an authorizer. */
const TEST_STAGE = 'test-invoke-stage';

/**
 * Reads the request of a REST API, or of an HTTP API with payload format 1.0.
 * @returns undefined for any other event
 */
export function requestOfFormat1(event: JsonObject): HttpRequest | undefined {
  const { version, resource, path, httpMethod, pathParameters, body, isBase64Encoded } = event;
  const context = membersOf(event['requestContext']);
  const { stage, apiId, domainName } = context;
  if (version !== undefined && version !== '1.0') return undefined;
  if (!areTexts(resource, path, httpMethod, stage, apiId)) return undefined;
  const headers = READ_HEADERS.map((name) => [name, headerOf(event, name)] as const);
  if (!headers.every(([, value]) => isTextOrAbsent(value))) return undefined;
  const base = { stage: stage as string, isCustomDomain: isCustomDomain(domainName, apiId as string) };
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
 * Returns the longer of the two paths in payload format 1.0, with `@` instead of `%40`. The longer path begins with the
 * stage or base path. In a REST API's event, the shorter path does not contain the stage.
 * @returns undefined if the longer path does not end with the shorter one, for example because only one of them is
 * decoded
 */
function longerOf(path: string, pathOfContext: unknown): string | undefined {
  if (typeof pathOfContext !== 'string') return undefined;
  const [one, other] = [withoutEncodedAt(pathOfContext), withoutEncodedAt(path)];
  const [longer, shorter] = one.length >= other.length ? [one, other] : [other, one];
  return longer.endsWith(shorter) ? longer : undefined;
}

/**
 * The values of a header, in whatever case its name is written. Payload format 1.0 keeps names as the client wrote
 * them.
 */
function headerOf({ headers, multiValueHeaders }: JsonObject, name: string): unknown {
  const given = Object.entries({ ...membersOf(headers), ...membersOf(multiValueHeaders) });
  const values = given.flatMap(([given_, value]) => (given_.toLowerCase() === name ? value : []));
  if (values.length === 0) return undefined;
  return values.every((value) => typeof value === 'string') ? values.join(',') : null;
}

/**
 * Returns the data that authorizers passed on in payload format 1.0, keyed by the kind of authorizer. The IAM caller is
 * in `identity`, and the claims of a token are in `authorizer.claims`. The values of a Lambda authorizer are members of
 * `authorizer` itself.
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
