import { orAborted } from '../async/deadline.ts';
import { having, type Type } from '../input/checks.ts';

/** An AWS identity in the SDK's format. */
export interface Identity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

/**
 * AWS credentials, or a function that finds them within ten seconds. Every credential provider of the AWS SDK for
 * JavaScript 3 is such a function.
 * @example
 * import { fromTemporaryCredentials } from '@aws-sdk/credential-providers';
 *
 * const credentials = fromTemporaryCredentials({
 *   params: { RoleArn: 'arn:aws:iam::111122223333:role/orders', RoleSessionName: 'orders' },
 * });
 */
export type Credentials = Identity | (() => Promise<Identity>);

/**
 * Checks {@link Credentials}. Members that Keyfold does not read are allowed, because the SDK's credentials have more
 * members.
 */
export const CREDENTIALS: Type = {
  called: 'credentials or a function that finds them',
  holds: (value) => {
    if (typeof value !== 'object' || value === null) return typeof value === 'function';
    return isIdentity(value);
  },
};

/**
 * Whether a value is credentials. Their parts must contain only characters that are valid in a header. The secret key
 * is in no header, but AWS's keys contain no other characters either. A file with a key often ends with a line feed.
 * With the line feed in the key, AWS would refuse every signature.
 */
export function isIdentity(value: object): value is Identity {
  const { accessKeyId, secretAccessKey, sessionToken = 'none' } = value as Partial<Record<keyof Identity, unknown>>;
  return [accessKeyId, secretAccessKey, sessionToken].every(
    (part) => typeof part === 'string' && /^[\x21-\x7e]+$/.test(part),
  );
}

/** How long a call of a credential provider may take, in milliseconds. */
const FOUND_WITHIN_MS = 10_000;

/**
 * Limits how long each call of a credential provider may take. A provider can wait forever on a connection that died
 * while Lambda had frozen the process. All requests share one call of a provider, so without this limit all later
 * requests would wait, too.
 */
export function withTimeLimit(credentials: Credentials): Credentials {
  return typeof credentials === 'function' ? limited(() => credentials) : credentials;
}

/**
 * Limits how long each call of a credential provider may take.
 * @param make makes the provider. After a call that took too long, it makes another one, because the SDK's own search
 * lets all later calls wait for the first one.
 */
export function limited(make: () => () => Promise<Identity>): () => Promise<Identity> {
  let provider: (...options: readonly unknown[]) => Promise<Identity> = make();
  return async (...options: readonly unknown[]) => {
    const asked = provider;
    // The signal's reason is a TimeoutError. The SDK counts errors of this name as transient.
    const signal = AbortSignal.timeout(FOUND_WITHIN_MS);
    return orAborted(Promise.resolve(asked(...options)), signal).catch((error: unknown) => {
      if (signal.aborted && provider === asked) provider = make();
      throw error;
    });
  };
}

/**
 * A client of the AWS SDK for JavaScript 3.940 or newer that the caller made, such as a `KMSClient`. The caller also
 * closes it, after Keyfold has used it for the last time.
 */
export interface SdkClient {
  /** Only Keyfold calls this method, with commands of the client's service. So the type of `command` is `never`. */
  send(command: never, options?: never): Promise<unknown>;
  readonly config: { readonly serviceId: string };
}

/**
 * Checks that a value is an SDK client of one service.
 * @param serviceId the service's name in the client's config, such as `KMS`
 * @param called the name of the client's class, with an article
 */
export function sdkClient(serviceId: string, called: string): Type {
  const sending = having('send');
  const configured = having('maxAttempts', 'credentials');
  return {
    called,
    holds: (value) => {
      if (!sending.holds(value)) return false;
      const { config } = value as { readonly config: unknown };
      return configured.holds(config) && (config as SdkClient['config']).serviceId === serviceId;
    },
  };
}
