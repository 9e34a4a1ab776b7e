import type { AuthConfig } from '../config/app-config.ts';
import { KeyfoldError } from '../envelope/errors.ts';
import { ACTION_OF, type OperationName } from '../operations/operation-name.ts';

type Fields = Readonly<Record<string, unknown>>;

/**
 * Checks that the request came through the configured kind of authorizer, and through no other.
 * @param authorizer `requestContext.authorizer` of the event
 * @returns what that authorizer found out
 * @throws KeyfoldError `Unauthenticated`
 */
export function authenticate(auth: AuthConfig, authorizer: unknown): Fields {
  const kinds = Object.keys(asFields(authorizer) ?? {});
  if (auth.kind === 'none' && kinds.length === 0) return {};
  const found = kinds.length === 1 && kinds[0] === auth.kind ? asFields(asFields(authorizer)?.[auth.kind]) : undefined;
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
  const scopes = typeof claims['scope'] === 'string' ? claims['scope'].split(' ') : [];
  const scope = `keyfold/${ACTION_OF[operation]}`;
  if (!scopes.includes(scope)) {
    throw new KeyfoldError('Forbidden', `The token lacks the scope ${scope}.`);
  }
  if (!grantsOf(claims[auth.partitionsClaim]).some((grant) => isGranted(grant, partition))) {
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

/** HTTP APIs hand an array claim over as `[a b]`; a string claim lists its values with spaces between them. */
function grantsOf(claim: unknown): string[] {
  if (typeof claim !== 'string') return [];
  const list = claim.startsWith('[') && claim.endsWith(']') ? claim.slice(1, -1) : claim;
  return /[[\]]/.test(list) ? [] : list.split(' ').filter((grant) => grant !== '');
}

/** A grant is a partition, or the beginning of some followed by `*`. */
export function isGranted(grant: string, partition: string): boolean {
  return grant.endsWith('*') ? partition.startsWith(grant.slice(0, -1)) : partition === grant;
}

function asFields(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
