import type { AuthConfig, AuthorizerConfig, GrantRules, JwtConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import { isJsonObject, membersOf, type JsonObject } from '../input/json-object.ts';
import { HTTP_PARTITION } from '../operations/http-partition.ts';
import { ACTION_OF, type OperationName } from '../operations/operation-name.ts';
import type { HttpRequest } from './http-event.ts';

const HTTP_PARTITIONS_BY_PREFIX = /^[A-Za-z0-9._~@-]{0,127}\*$/;

/** The name that each kind of authorizer has in events. */
const NAME_IN_EVENT = { iam: 'iam', jwt: 'jwt', authorizer: 'lambda' } as const;

/**
 * Checks that the request came through the configured kind of authorizer, and only through that kind.
 * @returns the fields that the authorizer passed on: the IAM caller's ARN, the claims of a token, or the context of a
 * Lambda authorizer
 * @throws KeyfoldError `Unauthenticated`
 */
export function authenticate(auth: AuthConfig, { authorizer, isFunctionUrl }: HttpRequest): JsonObject {
  const { length } = Object.keys(authorizer);
  // The only authorizer that a function URL can have is IAM.
  const isPossible = !isFunctionUrl || auth.kind === 'iam';
  if (auth.kind === 'none' && length === 0 && isPossible) return {};
  const found = auth.kind === 'none' ? undefined : authorizer[NAME_IN_EVENT[auth.kind]];
  if (length === 1 && isJsonObject(found) && isPossible) return found;
  throw new KeyfoldError(
    'Unauthenticated',
    'The request has not passed the authorizer that this API is configured with.',
  );
}

/**
 * Checks that the caller may run this operation on this partition. With IAM, API Gateway has already checked the path
 * against the caller's policy. Otherwise this function checks the scope and the partitions, which are in the claims of
 * a token or in the context of a Lambda authorizer.
 * @param found the result of {@link authenticate}
 * @throws KeyfoldError `Forbidden`
 */
export function authorize(auth: AuthConfig, found: JsonObject, partition: string, operation: OperationName): void {
  if (auth.kind !== 'jwt' && auth.kind !== 'authorizer') return;
  const [scopes, partitions] = grantedBy(auth, found);
  const scope = `keyfold/${ACTION_OF[operation]}`;
  if (!entriesOf(scopes)?.includes(scope)) {
    throw new KeyfoldError('Forbidden', `The caller lacks the scope ${scope}.`);
  }
  if (!grantsOf(auth, partitions).some((grant) => isGranted(grant, partition))) {
    throw new KeyfoldError('Forbidden', 'The caller is not granted this partition.');
  }
}

/** The values that grant scopes and partitions. The context of a Lambda authorizer has fixed names for them. */
function grantedBy(auth: JwtConfig | AuthorizerConfig, found: JsonObject): [scopes: unknown, partitions: unknown] {
  if (auth.kind === 'authorizer') return [found['scope'], textOfContext(found['partitions'])];
  const claims = membersOf(found['claims']);
  return [claims[auth.scopeClaim ?? 'scope'], claims[auth.partitionsClaim]];
}

/**
 * Converts a number in the context of a Lambda authorizer to a string, as REST APIs do. Other values stay as they are.
 */
function textOfContext(value: unknown): unknown {
  return Number.isSafeInteger(value) ? String(value) : value;
}

/**
 * Names the caller for the audit line. With IAM, the name is the ARN of the identity that signed the request. With JWT,
 * it is `issuer#subject`. With a Lambda authorizer, it is the `principalId` in the authorizer's context. Null if the
 * authorizer did not pass on such a name.
 * @param found the result of {@link authenticate}
 */
export function principalOf(auth: AuthConfig, found: JsonObject): string | null {
  if (auth.kind === 'iam') return asText(found['userArn']);
  if (auth.kind === 'authorizer') return asText(found['principalId']);
  const { iss, sub } = membersOf(found['claims']);
  const subject = asText(sub);
  return subject === null ? null : `${asText(iss) ?? ''}#${subject}`;
}

function asText(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/**
 * Returns the partitions that a claim grants. An identity provider may let tenants choose the text of a claim. So lists
 * and wildcards count only if the settings allow them. If any entry of a claim is invalid, the claim grants nothing.
 */
function grantsOf(
  { partitionLists = false, partitionWildcards = false }: GrantRules,
  claim: unknown,
): readonly string[] {
  const entries = partitionLists ? (entriesOf(claim) ?? []) : [claim];
  const isSound = (entry: unknown): entry is string =>
    typeof entry === 'string' &&
    (HTTP_PARTITION.test(entry) || (partitionWildcards && HTTP_PARTITIONS_BY_PREFIX.test(entry)));
  return entries.every(isSound) ? entries : [];
}

/**
 * Returns the space-separated entries of a claim. HTTP APIs pass on an array as the text `[a b]`, so the one entry
 * `a b` looks the same as the two entries `a` and `b`. Undefined if the claim has another form, such as a nested array.
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
