import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { Sha256 } from '@smithy/core/checksum';
import { SignatureV4 } from '@smithy/signature-v4';
import type { Type } from '../envelope/checks.ts';
import { withoutCredentials } from './errors.ts';

/** An AWS identity, as the SDK has it. */
interface Identity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

/** AWS credentials, or what finds them: any provider of the SDK's is one. */
export type Credentials = Identity | (() => Promise<Identity>);

/** What {@link Credentials} are: the SDK's may have more members than are read. */
export const CREDENTIALS: Type = {
  called: 'credentials or a function that finds them',
  holds: (value) => {
    if (typeof value !== 'object' || value === null) return typeof value === 'function';
    const { accessKeyId, secretAccessKey, sessionToken = '' } = value as Partial<Identity>;
    return [accessKeyId, secretAccessKey, sessionToken].every((part) => typeof part === 'string');
  },
};

/**
 * Signs POST requests to API Gateway with AWS Signature Version 4, each anew: a signature holds for five minutes.
 * @param region of the host's name unless given
 * @returns adds the signature to a request's headers; throws KeyfoldTransportError `Unauthenticated` or `Unavailable`
 * without credentials
 * @throws TypeError where the region is not given and not in the host's name
 */
export function requestSigner(hostname: string, region: string | undefined, credentials: Credentials | undefined) {
  const [, regionOfHost] = /\.execute-api(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/.exec(hostname) ?? [];
  const signedFor = region ?? regionOfHost;
  if (signedFor === undefined) throw new TypeError('The region to sign for is not given, nor in the name of the host.');
  const identity = credentials ?? defaultProvider();
  const signer = new SignatureV4({
    service: 'execute-api',
    region: signedFor,
    credentials: typeof identity === 'function' ? found(identity) : identity,
    sha256: Sha256,
  });
  return async (url: URL, headers: Record<string, string>, body: string): Promise<Record<string, string>> => {
    const { protocol, host, hostname: to, pathname: path } = url;
    const request = { method: 'POST', protocol, hostname: to, path, headers: { ...headers, host }, body };
    const signed = await signer.sign(request);
    // The platform sets it by itself.
    delete signed.headers['host'];
    return signed.headers;
  };
}

/** Before credentials end, by how much they are asked for anew. */
const RENEWED_BEFORE_MS = 300_000;

/**
 * Those that tell when they end are kept until shortly before, as the SDK's clients do: most of its providers keep nothing, and
 * one that assumes a role would do so for each request. Any others are asked for each time.
 */
function found(provider: () => Promise<Identity>): () => Promise<Identity> {
  let kept: Identity | undefined;
  let asked: Promise<Identity> | undefined;
  return async () => {
    if (kept?.expiration !== undefined && +kept.expiration - Date.now() > RENEWED_BEFORE_MS) return kept;
    try {
      asked ??= provider().finally(() => (asked = undefined));
      return (kept = await asked);
    } catch (error) {
      throw withoutCredentials(error);
    }
  };
}
