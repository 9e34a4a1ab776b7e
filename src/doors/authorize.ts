import type { AuthConfig, JwtConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import { isJsonObject, membersOf, type JsonObject } from '../input/json-object.ts';
import { HTTP_PARTITION } from '../operations/http-partition.ts';
import { ACTION_OF, type OperationName } from '../operations/operation-name.ts';

const HTTP_PARTITIONS_BY_PREFIX = /^[A-Za-z0-9._~@-]{0,127}\*$/;

/**
 * Checks that the request came through the configured kind of authorizer, and only through that kind.
 * @param authorizer `requestContext.authorizer` of the event
 * @returns the fields that the authorizer passed on: the ARN of the IAM caller, or the claims of a token
 * @throws KeyfoldError `Unauthenticated`
 */
export function authenticate(auth: AuthConfig, authorizer: unknown): JsonObject {
  const kinds = membersOf(authorizer);
  const { length } = Object.keys(kinds);
  if (auth.kind === 'none' && length === 0) return {};
  const found = kinds[auth.kind];
  if (length === 1 && isJsonObject(found)) return found;
  throw new KeyfoldError(
    'Unauthenticated',
    'The request has not passed the authorizer that this API is configured with.',
  );
}

/**
 * Checks that the caller may run this operation on this partition. With IAM, API Gateway has already checked the path
 * against the caller's policy. With JWT, this function checks the token's scope and partition claims.
 * @param found the result of {@link authenticate}
 * @throws KeyfoldError `Forbidden`
 */
export function authorize(auth: AuthConfig, found: JsonObject, partition: string, operation: OperationName): void {
  if (auth.kind !== 'jwt') return;
  const claims = membersOf(found['claims']);
  const scope = `keyfold/${ACTION_OF[operation]}`;
  if (!entriesOf(claims[auth.scopeClaim ?? 'scope'])?.includes(scope)) {
    throw new KeyfoldError('Forbidden', `The token lacks the scope ${scope}.`);
  }
  if (!grantsOf(auth, claims[auth.partitionsClaim]).some((grant) => isGranted(grant, partition))) {
    throw new KeyfoldError('Forbidden', 'The token does not grant this partition.');
  }
}

/**
 * Names the caller for the audit. With IAM, the name is the ARN that signed the request. With JWT, it is
 * `issuer#subject`. Null if the authorizer passed on neither.
 * @param found the result of {@link authenticate}
 */
export function principalOf(auth: AuthConfig, found: JsonObject): string | null {
  if (auth.kind === 'iam') return asText(found['userArn']);
  const { iss, sub } = membersOf(found['claims']);
  const subject = asText(sub);
  return subject === null ? null : `${asText(iss) ?? ''}#${subject}`;
}

function asText(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/**
 * Returns the partitions that a claim grants. An identity provider may let tenants choose the text of a claim. So lists
 * and wildcards count only if the settings allow them. If one entry of a claim is invalid, the claim grants nothing.
 */
function grantsOf(
  { partitionLists = false, partitionWildcards = false }: JwtConfig,
  claim: unknown,
): readonly string[] {
  const entries = partitionLists ? (entriesOf(claim) ?? []) : [claim];
  const isSound = (entry: unknown): entry is string =>
    typeof entry === 'string' &&
    (HTTP_PARTITION.test(entry) || (partitionWildcards && HTTP_PARTITIONS_BY_PREFIX.test(entry)));
  return entries.every(isSound) ? entries : [];
}

/**
 * Returns the entries of a claim that are separated by spaces. HTTP APIs pass on an array as the text `[a b]`, so one
 * entry `a b` looks the same as two entries. Undefined for any other claim, such as nested arrays.
 */
function entriesOf(claim: unknown): readonly string[] | undefined {
  if (Array.isArray(claim)) return claim.every((entry) => typeof entry === 'string') ? claim : undefined;
  if (typeof claim !== 'string') return undefined;
  const list = claim.startsWith('[') && claim.endsWith(']') ? claim.slice(1, -1) : claim;
  return /[[\]]/.test(list) ? undefined : list.split(' ').filter((entry) => entry !== '');
}

/** Whether a grant covers a partition. A grant is an exact partition, or a prefix followed by `*`. */
export function isGranted(grant: string, partition: string): boolean {
  return grant.endsWith('*') ? partition.startsWith(grant.slice(0, -1)) : partition === grant;
}
