import type { AuthConfig, JwtConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../errors.ts';
import { HTTP_PARTITION } from '../operations/http-partition.ts';
import { ACTION_OF, type OperationName } from '../operations/operation-name.ts';

const HTTP_PARTITIONS_BY_PREFIX = /^[A-Za-z0-9._~@-]{0,127}\*$/;

type Fields = Readonly<Record<string, unknown>>;

/**
 * Checks that the request came through the configured kind of authorizer, and through no other.
 * @param authorizer `requestContext.authorizer` of the event
 * @returns what that authorizer found out
 * @throws KeyfoldError `Unauthenticated`
 */
export function authenticate(auth: AuthConfig, authorizer: unknown): Fields {
  const kinds = asFields(authorizer) ?? {};
  const { length } = Object.keys(kinds);
  if (auth.kind === 'none' && length === 0) return {};
  const found = length === 1 ? asFields(kinds[auth.kind]) : undefined;
  if (found !== undefined) return found;
  throw new KeyfoldError(
    'Unauthenticated',
    'The request has not passed the authorizer that this API is configured with.',
  );
}

/**
 * Checks that the caller may do this. With IAM the path is the resource and the policy has decided already; a token's
 * claims are decided on here.
 * @param found what {@link authenticate} returned
 * @throws KeyfoldError `Forbidden`
 */
export function authorize(auth: AuthConfig, found: Fields, partition: string, operation: OperationName): void {
  if (auth.kind !== 'jwt') return;
  const claims = asFields(found['claims']) ?? {};
  const scope = `keyfold/${ACTION_OF[operation]}`;
  if (!entriesOf(claims[auth.scopeClaim ?? 'scope'])?.includes(scope)) {
    throw new KeyfoldError('Forbidden', `The token lacks the scope ${scope}.`);
  }
  if (!grantsOf(auth, claims[auth.partitionsClaim]).some((grant) => isGranted(grant, partition))) {
    throw new KeyfoldError('Forbidden', 'The token does not grant this partition.');
  }
}

/**
 * Who asks: the ARN that signed the request, or the issuer of a token and its subject with `#` between them. Null where the authorizer
 * did not say.
 * @param found what {@link authenticate} returned
 */
export function principalOf(auth: AuthConfig, found: Fields): string | null {
  if (auth.kind === 'iam') return asText(found['userArn']);
  const { iss, sub } = asFields(found['claims']) ?? {};
  const subject = asText(sub);
  return subject === null ? null : `${asText(iss) ?? ''}#${subject}`;
}

function asText(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/**
 * The partitions that a claim grants. An identity provider may let a tenant choose a claim's text, so a list and a wildcard count
 * only if the settings say so. A claim with an entry that cannot be a partition grants nothing.
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
 * The entries of a claim that lists some, separated by spaces. HTTP APIs hand an array claim over as `[a b]`, as they do one whose
 * only entry is `a b`. Undefined for anything else, such as an array in an array.
 */
function entriesOf(claim: unknown): readonly string[] | undefined {
  if (Array.isArray(claim)) return claim.every((entry) => typeof entry === 'string') ? claim : undefined;
  if (typeof claim !== 'string') return undefined;
  const list = claim.startsWith('[') && claim.endsWith(']') ? claim.slice(1, -1) : claim;
  return /[[\]]/.test(list) ? undefined : list.split(' ').filter((entry) => entry !== '');
}

/** A grant is a partition, or the beginning of some followed by `*`. */
export function isGranted(grant: string, partition: string): boolean {
  return grant.endsWith('*') ? partition.startsWith(grant.slice(0, -1)) : partition === grant;
}

function asFields(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
