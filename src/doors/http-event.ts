import { membersOf, type JsonObject } from '../input/json-object.ts';

/** An HTTP request as the door reads it, from any kind of event. */
export interface HttpRequest {
  readonly method: string;
  /**
   * The path that the client sent. HTTP APIs have decoded it. It begins with the stage or the base path of a custom
   * domain, if there is one.
   */
  readonly path: string;
  /**
   * The path within the API, which IAM policies refer to. Undefined if the event does not say where this path begins,
   * or if `matched` is set.
   */
  readonly pathInApi: string | undefined;
  /**
   * The values of a route's parameters `{partition}` and `{operation}`, from API Gateway. Undefined for a route without
   * them.
   */
  readonly matched: { readonly partition: string; readonly operation: string } | undefined;
  /** What may precede the Keyfold path: the stage, or on a custom domain any base path. */
  readonly base: { readonly stage: string; readonly isCustomDomain: boolean };
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: unknown;
  readonly isBase64Encoded: boolean;
  /** The data that the authorizers passed on, keyed by the kind of authorizer: `iam`, `jwt` or `lambda`. */
  readonly authorizer: JsonObject;
  readonly isFunctionUrl: boolean;
  /** Whether the response must say that its body is not in base64, as payload format 1.0 requires. */
  readonly saysBase64: boolean;
}

/** The headers that the door reads. It does not check other headers, because that would slow down every request. */
export const READ_HEADERS = ['content-type', 'content-encoding'] as const;

/**
 * Finds the partition and the operation in the parameters of the route. If the route does not have both parameters,
 * finds the path within the API instead. To do so, it fills the values of the parameters into the route. For the route
 * `$default`, the path within the API is the sent path without the stage. On a custom domain, it is the whole sent
 * path.
 * @returns undefined if the parameters are not strings
 */
export function routeOf(
  route: string,
  pathParameters: unknown,
  path: string,
  { stage, isCustomDomain: isCustom }: HttpRequest['base'],
): Pick<HttpRequest, 'pathInApi' | 'matched'> | undefined {
  const parameters = membersOf(pathParameters);
  const { partition, operation } = parameters;
  if (!isTextOrAbsent(partition) || !isTextOrAbsent(operation)) return undefined;
  if (route.startsWith('/')) {
    if (!route.includes('{partition}') || !route.includes('{operation}')) {
      return { pathInApi: filledIn(route, parameters), matched: undefined };
    }
    return { pathInApi: undefined, matched: { partition: partition ?? '', operation: operation ?? '' } };
  }
  const prefix = isCustom || stage === '$default' ? '' : `/${stage}`;
  return { pathInApi: path.startsWith(`${prefix}/`) ? path.slice(prefix.length) : undefined, matched: undefined };
}

/** A route with the values of its parameters filled in. Undefined if one of them is missing. */
function filledIn(route: string, parameters: JsonObject): string | undefined {
  let isComplete = true;
  const path = route.replaceAll(/\{([^{}]*?)\+?\}/g, (_, name: string) => {
    const value = parameters[name];
    if (typeof value === 'string') return value;
    isComplete = false;
    return '';
  });
  return isComplete ? path : undefined;
}

/**
 * Whether a domain belongs neither to API Gateway nor to an interface endpoint of a VPC. The domain of a FIPS
 * endpoint contains `execute-api-fips`.
 */
export function isCustomDomain(domainName: unknown, apiId: string): boolean {
  if (typeof domainName !== 'string') return false;
  const dotAt = domainName.indexOf('.');
  if (!domainName.startsWith('execute-api', dotAt + 1)) return true;
  const first = domainName.slice(0, dotAt);
  return !(first === apiId || first.startsWith(`${apiId}-vpce-`) || first.startsWith('vpce-'));
}

/** Replaces `%40` in a path with `@`. Keyfold decodes no other percent-encoding. */
export function withoutEncodedAt(path: string): string {
  return path.replaceAll('%40', '@');
}

export function areTexts(...values: readonly unknown[]): boolean {
  return values.every((value) => typeof value === 'string');
}

export function isTextOrAbsent(value: unknown): value is string | undefined {
  return typeof value === 'string' || value === undefined;
}
