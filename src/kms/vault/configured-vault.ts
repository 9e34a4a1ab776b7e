import { readFile } from 'node:fs/promises';
import { foundCredentials } from '../../connections/found-credentials.ts';
import { invalidConfiguration } from '../../errors.ts';
import type { VaultAuth, VaultSecret } from './vault-auth.ts';

/** The container loads this module only if Vault is configured, so that other functions do not load its code. */
export { VaultKms } from './vault-kms.ts';

/**
 * The login settings of a function. They name files with the secrets, because more people can read the settings than
 * may know a secret.
 */
export interface VaultLogin {
  readonly method: VaultAuth['method'];
  /** The role, or the role ID for AppRole. */
  readonly role?: string | undefined;
  readonly mount?: string | undefined;
  /** The file with the token, the secret ID or the service account's token. It is read at each login. */
  readonly secretFile?: string | undefined;
  readonly region?: string | undefined;
  readonly serverId?: string | undefined;
}

/** Converts the settings of a login to the option of `VaultKms`. */
export function authOf(login: VaultLogin): VaultAuth {
  const { method, role = '', mount, secretFile, region, serverId } = login;
  const secret: VaultSecret | undefined = secretFile === undefined ? undefined : () => readFile(secretFile, 'utf8');
  if (method === 'token') return { method, token: secret ?? '' };
  if (method === 'approle') return { method, roleId: role, secretId: secret, mount };
  if (method === 'kubernetes') return { method, role, jwt: secret, mount };
  return { method, role, credentials: foundCredentials(), region, serverId, mount };
}

/** Reads the certificates in a file. @throws KeyfoldError `InvalidConfiguration` if the file cannot be read */
export async function certificatesIn(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  return readFile(file, 'utf8').catch(() => {
    throw invalidConfiguration(['the file that KEYFOLD_VAULT_CA_FILE names cannot be read']);
  });
}
