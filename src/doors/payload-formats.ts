import { isJsonObject, membersOf, type JsonObject } from '../input/json-object.ts';
import { areTexts, isCustomDomain, isTextOrAbsent, READ_HEADERS, routeOf, type HttpRequest } from './http-event.ts';

/**
 * Reads the request of an HTTP API (payload formats 1.0 and 2.0), a REST API or a function URL. To keep the cold starts
 * of HTTP APIs short, the code for format 1.0 is loaded at its first request.
 * @returns undefined for any other event
 */
export async function httpRequestOf(event: unknown): Promise<HttpRequest | undefined> {
  const members = membersOf(event);
  // An event for a Lambda authorizer looks like a request, except that it has a `type`.
  if (members['type'] !== undefined) return undefined;
  if (members['version'] === '2.0') return requestOfFormat2(members);
  const { requestOfFormat1 } = await import('./payload-format-1.ts');
  return requestOfFormat1(members);
}

function requestOfFormat2(event: JsonObject): HttpRequest | undefined {
  const { routeKey, rawPath, headers, pathParameters, body, isBase64Encoded } = event;
  const { http, domainName, apiId = '', stage = '$default', authorizer } = membersOf(event['requestContext']);
  const { method } = membersOf(http);
  if (!areTexts(routeKey, rawPath, method, domainName) || !isJsonObject(headers)) return undefined;
  if (!areTexts(apiId, stage)) return undefined;
  if (!READ_HEADERS.every((name) => isTextOrAbsent(headers[name]))) return undefined;
  const isFunctionUrl = (domainName as string).includes('.lambda-url.');
  const base = {
    stage: stage as string,
    isCustomDomain: !isFunctionUrl && isCustomDomain(domainName, apiId as string),
  };
  // A route key is `METHOD /path` or `$default`.
  const key = routeKey as string;
  const route = routeOf(key.slice(key.indexOf(' ') + 1), pathParameters, rawPath as string, base);
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
