import { KeyfoldError } from '../errors.ts';
import { HTTP_PARTITION, NO_HTTP_PARTITION } from '../operations/http-partition.ts';
import { isOperationName, type OperationName } from '../operations/operation-name.ts';
import { withoutEncodedAt, type HttpRequest } from './http-event.ts';

/** The partition and the operation that an HTTP request names. */
export interface Target {
  readonly partition: string;
  readonly operation: OperationName;
}

/**
 * Matches an optional stage or base path of a custom domain, followed by a Keyfold path. API Gateway allows these
 * characters in base paths. A base path that contains `/v1/partitions/` is not accepted, because an IAM policy might
 * apply to this earlier part of the path.
 */
const PATH =
  /^((?:\/(?!\.{1,2}\/|v1\/partitions\/)[\w$.+!*'()-]+)*)(\/v1\/(?:health|ready|openapi\.json|partitions\/[^/]+\/[^/]+))$/;

const PARTITIONS = '/v1/partitions/';

const NOT_LITERAL =
  'The path must be /v1/partitions/PARTITION/OPERATION, spelled out without percent-encoding; %40 for @ is allowed.';

/**
 * Returns a request's path without the stage or the base path of a custom domain. Undefined if Keyfold has no such
 * path. On AWS's own domains, only the stage may precede the path.
 */
export function pathOf({ path: sent, base: { stage, isCustomDomain } }: HttpRequest): string | undefined {
  const [, base = '', path] = PATH.exec(sent) ?? [];
  return base === '' || base === `/${stage}` || isCustomDomain ? path : undefined;
}

/** The methods of a Keyfold path, as the value of an Allow header. */
export function methodsOf(path: string): string {
  return path.startsWith(PARTITIONS) ? 'POST' : 'GET, HEAD';
}

/**
 * Reads the partition and the operation of a request. They come from the parameters of the route, which API Gateway has
 * matched and authorized. If the route has none, such as `$default` or `/{proxy+}`, they come from the path within the
 * API.
 * @returns undefined if the path does not name a partition and an operation
 * @throws KeyfoldError `NotFound` for an unknown operation
 */
export function readTarget(request: HttpRequest): Target | undefined {
  const named = request.matched ?? partsOf(request);
  if (named === undefined) return undefined;
  const { partition, operation } = named;
  if (!isOperationName(operation)) throw new KeyfoldError('NotFound', 'The path names an unknown operation.');
  return { partition, operation };
}

/** The partition and the operation in a literal path. The path within the API must begin with `/v1`. */
function partsOf(request: HttpRequest): HttpRequest['matched'] {
  const path = literalPathOf(request);
  if (path === undefined || request.pathInApi === undefined) return undefined;
  if (path !== withoutEncodedAt(request.pathInApi) || !path.startsWith(PARTITIONS)) return undefined;
  const [partition = '', operation = ''] = path.slice(PARTITIONS.length).split('/');
  return { partition, operation };
}

/**
 * Checks that the partition's name is valid over HTTP, and that the path contains the name and the operation literally.
 * An IAM policy on the path might not match a percent-encoded spelling. HTTP APIs decode the path before this check.
 * @throws KeyfoldError `InvalidRequest`
 */
export function checkTarget(request: HttpRequest, { partition, operation }: Target): void {
  if (!HTTP_PARTITION.test(partition)) throw new KeyfoldError('InvalidRequest', NO_HTTP_PARTITION);
  const expected = `${PARTITIONS}${partition}/${operation}`;
  if (request.path === expected || literalPathOf(request) === expected) return;
  throw new KeyfoldError('InvalidRequest', NOT_LITERAL);
}

function literalPathOf(request: HttpRequest): string | undefined {
  const path = pathOf(request);
  return path && withoutEncodedAt(path);
}
