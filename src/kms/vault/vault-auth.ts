import { readFile } from 'node:fs/promises';
import { signedIdentity } from './aws-login.ts';
import { check, having, oneOf, optional, optionsOf, read, STRING, type Type, type Types } from '../../input/checks.ts';
import { CREDENTIALS, type Credentials } from '../../connections/sdk-client.ts';
import { isRegionName } from '../../records/ids.ts';
import { isPathSegments } from './vault-path.ts';

/**
 * A secret, or a function that finds it. The function is called for each login, so it can read a file whose content
 * changes.
 */
export type VaultSecret = string | (() => string | Promise<string>);

/**
 * How {@link VaultKms} logs in to Vault. `mount` is the path of the auth method. Default: the name of the method.
 * - `token`: a token that a Vault Agent or another program renews. If `token` is a function, Keyfold calls it again
 *   after Vault has refused the token.
 * - `approle`: a role ID, and its secret ID if the role requires one
 * - `kubernetes`: the token of the pod's service account. Default: the token in the file that Kubernetes mounts.
 * - `aws`: an AWS identity, which signs a request that Vault sends to AWS STS. `region` selects the STS endpoint of
 *   that region instead of the global one. `serverId` is the value of `iam_server_id_header_value` in Vault.
 */
export type VaultAuth =
  | { readonly method: 'token'; readonly token: VaultSecret }
  | {
      readonly method: 'approle';
      readonly roleId: string;
      readonly secretId?: VaultSecret | undefined;
      readonly mount?: string | undefined;
    }
  | {
      readonly method: 'kubernetes';
      readonly role: string;
      readonly jwt?: VaultSecret | undefined;
      readonly mount?: string | undefined;
    }
  | {
      readonly method: 'aws';
      readonly role: string;
      readonly credentials: Credentials;
      readonly region?: string | undefined;
      readonly serverId?: string | undefined;
      readonly mount?: string | undefined;
    };

/** The file in which Kubernetes mounts the token of a pod's service account. */
const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

const SECRET: Type = {
  called: 'a string or a function that finds it',
  holds: (value) => typeof value === 'string' || typeof value === 'function',
};

type Of<M extends VaultAuth['method']> = Extract<VaultAuth, { method: M }>;
const TYPES: { readonly [M in VaultAuth['method']]: Types<Of<M>> } = {
  token: { method: STRING, token: SECRET },
  approle: { method: STRING, roleId: STRING, secretId: optional(SECRET), mount: optional(STRING) },
  kubernetes: { method: STRING, role: STRING, jwt: optional(SECRET), mount: optional(STRING) },
  aws: {
    method: STRING,
    role: STRING,
    credentials: CREDENTIALS,
    region: optional(STRING),
    serverId: optional(STRING),
    mount: optional(STRING),
  },
};

/** @throws TypeError that names a member of the wrong type or an unknown member */
export function checkedAuth(given: unknown): VaultAuth {
  check(given, 'options.auth', having());
  const method = read(given as VaultAuth, 'method', 'options.auth');
  check(method, 'options.auth.method', oneOf(...Object.keys(TYPES)));
  return optionsOf<VaultAuth>(given, 'options.auth', TYPES[method as VaultAuth['method']]);
}

/** Lists everything that is wrong with an auth method whose members have the right types. Shows no secret. */
export function authFaults(auth: VaultAuth): string[] {
  const faults: string[] = [];
  const fault = (is: boolean, text: string): unknown => is && faults.push(text);
  if (auth.method === 'token') {
    fault(typeof auth.token === 'string' && !isHeaderValue(auth.token), `auth.token ${NOT_HEADER}`);
    return faults;
  }
  fault(auth.mount !== undefined && !isPathSegments(auth.mount), 'auth.mount is not a path such as approle');
  const [name, role] = auth.method === 'approle' ? ['roleId', auth.roleId] : ['role', auth.role];
  fault(!isHeaderValue(role), `auth.${name} ${NOT_HEADER}`);
  if (auth.method === 'approle') fault(auth.secretId === '', 'auth.secretId is empty');
  if (auth.method === 'kubernetes') fault(auth.jwt === '', 'auth.jwt is empty');
  if (auth.method === 'aws') {
    fault(auth.region !== undefined && !isRegionName(auth.region), 'auth.region is not the name of an AWS region');
    fault(auth.serverId !== undefined && !isHeaderValue(auth.serverId), `auth.serverId ${NOT_HEADER}`);
  }
  return faults;
}

/** The fault of a string that is not {@link isHeaderValue}. */
const NOT_HEADER = 'must be 1 to 4096 printable ASCII characters without spaces';

/** Whether a string is a valid header value without spaces. Vault's tokens and roles have this form, too. */
export function isHeaderValue(text: string): boolean {
  return /^[\x21-\x7e]{1,4096}$/.test(text);
}

/**
 * The body of a login request.
 * @throws any error that a caller's function throws. Such an error may quote a secret.
 */
export async function loginBody(auth: Exclude<VaultAuth, { method: 'token' }>, now: Date): Promise<object> {
  if (auth.method === 'approle') {
    const { roleId, secretId } = auth;
    return { role_id: roleId, ...(secretId !== undefined && { secret_id: await secretOf(secretId) }) };
  }
  if (auth.method === 'kubernetes') {
    const jwt = auth.jwt ?? (() => readFile(SERVICE_ACCOUNT_TOKEN, 'utf8'));
    return { role: auth.role, jwt: await secretOf(jwt) };
  }

  return { role: auth.role, ...(await signedIdentity(auth, now)) };
}

/**
 * A secret without the white space that files often have at their ends.
 * @throws TypeError if a function does not return a secret
 */
export async function secretOf(secret: VaultSecret): Promise<string> {
  const found: unknown = typeof secret === 'function' ? await secret() : secret;
  const text = typeof found === 'string' ? found.trim() : '';
  if (!/^[\x21-\x7e]+$/.test(text)) throw new TypeError('A function of options.auth has not returned a secret.');
  return text;
}
