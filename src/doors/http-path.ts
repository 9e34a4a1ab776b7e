import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { KeyfoldError } from '../errors.ts';
import { HTTP_PARTITION, NO_HTTP_PARTITION } from '../operations/http-partition.ts';
import { isOperationName, type OperationName } from '../operations/operation-name.ts';

/** The partition and the operation that an HTTP request names. */
export interface Target {
  readonly partition: string;
  readonly operation: OperationName;
}

/**
 * Matches an optional stage or base path of a custom domain, followed by a Keyfold path. API Gateway allows these
 * characters in base paths. A base path with `/v1/partitions/` in it does not match, because a policy might match that
 * part instead.
 */
const PATH =
  /^((?:\/(?!\.{1,2}\/|v1\/partitions\/)[\w$.+!*'()-]+)*)(\/v1\/(?:health|openapi\.json|partitions\/[^/]+\/[^/]+))$/;

const NOT_LITERAL =
  'The path must be /v1/partitions/PARTITION/OPERATION, spelled out without percent-encoding; %40 for @ is allowed.';

/**
 * Returns a request's path without the stage or the base path of a custom domain. Undefined if Keyfold has no such
 * path. On API Gateway's own domain, only the stage may precede the path.
 */
export function pathOf({ rawPath, requestContext }: APIGatewayProxyEventV2): string | undefined {
  const { stage, apiId, domainName } = requestContext;
  const [, base = '', path] = PATH.exec(rawPath) ?? [];
  const isOwnDomain = domainName.startsWith(`${apiId}.execute-api.`);
  return base === '' || base === `/${stage}` || !isOwnDomain ? path : undefined;
}

/** The methods of a Keyfold path, as the value of an Allow header. */
export function methodsOf(path: string): string {
  return path.startsWith('/v1/partitions/') ? 'POST' : 'GET, HEAD';
}

/**
 * Reads the partition and the operation from the path parameters, which API Gateway has matched and authorized.
 * @throws KeyfoldError `NotFound` for an unknown operation
 */
export function readTarget({ pathParameters }: APIGatewayProxyEventV2): Target {
  const { partition = '', operation = '' } = pathParameters ?? {};
  if (!isOperationName(operation)) throw new KeyfoldError('NotFound', 'The path names an unknown operation.');
  return { partition, operation };
}

/**
 * Checks that the partition's name is valid over HTTP, and that the path contains it and the operation literally. An
 * IAM policy on the path would not match a percent-encoded spelling.
 * @throws KeyfoldError `InvalidRequest`
 */
export function checkTarget(event: APIGatewayProxyEventV2, { partition, operation }: Target): void {
  if (!HTTP_PARTITION.test(partition)) throw new KeyfoldError('InvalidRequest', NO_HTTP_PARTITION);
  if (pathOf(event)?.replaceAll('%40', '@') === `/v1/partitions/${partition}/${operation}`) return;
  throw new KeyfoldError('InvalidRequest', NOT_LITERAL);
}
