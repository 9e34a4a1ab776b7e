import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { KeyfoldError } from '../errors.ts';
import { HTTP_PARTITION, NO_HTTP_PARTITION } from '../operations/http-partition.ts';
import { isOperationName, type OperationName } from '../operations/operation-name.ts';

/** What a request to a partition asks for. */
export interface Target {
  readonly partition: string;
  readonly operation: OperationName;
}

/**
 * The base path of a custom domain or a stage, if any, and what is ours. API Gateway's base paths have these characters. A base path
 * that holds a path of ours is refused: a policy might take it for what is asked.
 */
const PATH =
  /^((?:\/(?!\.{1,2}\/|v1\/partitions\/)[\w$.+!*'()-]+)*)(\/v1\/(?:health|openapi\.json|partitions\/[^/]+\/[^/]+))$/;

const NOT_LITERAL =
  'The path must be /v1/partitions/PARTITION/OPERATION, spelled out without percent-encoding; %40 for @ is allowed.';

/**
 * The path of a request without the stage or the base path of a custom domain; undefined for a path that is none of ours.
 * On API Gateway's own domain only the stage can stand before it.
 */
export function pathOf({ rawPath, requestContext }: APIGatewayProxyEventV2): string | undefined {
  const { stage, apiId, domainName } = requestContext;
  const [, base = '', path] = PATH.exec(rawPath) ?? [];
  const isOwnDomain = domainName.startsWith(`${apiId}.execute-api.`);
  return base === '' || base === `/${stage}` || !isOwnDomain ? path : undefined;
}

/** The methods that a path of ours takes, as Allow has them. */
export function methodsOf(path: string): string {
  return path.startsWith('/v1/partitions/') ? 'POST' : 'GET, HEAD';
}

/**
 * Which partition and operation a request names, from the path parameters that API Gateway matched and authorized.
 * @throws KeyfoldError `NotFound` for an operation that there is not
 */
export function readTarget({ pathParameters }: APIGatewayProxyEventV2): Target {
  const { partition = '', operation = '' } = pathParameters ?? {};
  if (!isOperationName(operation)) throw new KeyfoldError('NotFound', 'There is no such operation.');
  return { partition, operation };
}

/**
 * Checks that a partition can be named over HTTP, and that the path spells it and the operation literally. A policy on the path
 * would not match another spelling.
 * @throws KeyfoldError `InvalidRequest`
 */
export function checkTarget(event: APIGatewayProxyEventV2, { partition, operation }: Target): void {
  if (!HTTP_PARTITION.test(partition)) throw new KeyfoldError('InvalidRequest', NO_HTTP_PARTITION);
  if (pathOf(event)?.replaceAll('%40', '@') === `/v1/partitions/${partition}/${operation}`) return;
  throw new KeyfoldError('InvalidRequest', NOT_LITERAL);
}
