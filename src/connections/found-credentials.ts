import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { limited, type Identity } from './sdk-client.ts';

/**
 * Finds AWS credentials as the AWS SDK's clients do. The SDK's own search has no time limit: if STS or the container
 * did not respond once, all later calls would wait forever.
 */
export function foundCredentials(): () => Promise<Identity> {
  return limited(() => defaultProvider());
}
