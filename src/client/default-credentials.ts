import { foundCredentials } from '../connections/found-credentials.ts';
import type { Credentials } from '../connections/sdk-client.ts';

/**
 * Finds AWS credentials as the AWS SDK's clients do: in environment variables, in profiles, from a web identity, from
 * the container or from the instance. It looks for them when the first request is signed. This function has its own
 * package entry, because it takes more space in a bundle than the whole client.
 * @example
 * import { KeyfoldClient } from 'keyfold/client';
 * import { defaultCredentials } from 'keyfold/client/default-credentials';
 *
 * const endpoint = 'https://abc123.execute-api.us-west-2.amazonaws.com';
 * const keyfold = new KeyfoldClient({ http: { endpoint, credentials: defaultCredentials() } });
 */
export function defaultCredentials(): Credentials {
  return foundCredentials();
}
