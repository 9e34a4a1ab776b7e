import { partition } from '@aws-sdk/core/client';
import { SignatureV4 } from '@smithy/signature-v4';
import { Sha256 } from '../crypto/sha256.ts';
import { isIdentity, withTimeLimit, type Credentials, type Identity } from '../connections/sdk-client.ts';
import { dateOf, credentialsError } from './errors.ts';

/** Signs requests. It can correct its clock and renew its credentials after AWS rejected a signature. */
export interface RequestSigner {
  /**
   * Returns the headers of a POST request with the signature added.
   * @throws KeyfoldTransportError `Unauthenticated` or `Unavailable` if no credentials are found
   */
  sign(url: URL, headers: Record<string, string>, body: string): Promise<Record<string, string>>;
  /**
   * Compares the `date` header of a response with the time of the request's signature. If they differ by more than AWS
   * allows, later signatures use AWS's time.
   * @param signedAtMs the time of the request's signature. It is not derived from the present clock, because the clock
   * may have been set, or another request may have corrected it, since the request was signed.
   * @returns whether the signature's time was too far off, so that signing again may help
   */
  correctClock(date: string | undefined, signedAtMs: number): boolean;
  /** Makes the next call of `sign` ask the provider for new credentials. */
  renewCredentials(): void;
  /** How far this machine's clock is behind AWS's clock, in milliseconds. 0 until `correctClock` corrects it. */
  readonly clockOffsetMs: number;
}

/**
 * AWS accepts a signature for five minutes before and after its time. A limit of four minutes leaves one minute for
 * transmission.
 */
const MAX_SKEW_MS = 240_000;
const isSkew = (differenceMs: number): boolean => Math.abs(differenceMs) >= MAX_SKEW_MS;

/**
 * Makes a signer for requests to API Gateway or a function URL with AWS Signature Version 4. AWS accepts a signature
 * for five minutes, so the client signs each attempt anew.
 * @param region if undefined, it is read from the host name
 * @throws TypeError if the region is neither given nor part of the host name
 */
export function requestSigner(hostname: string, region: string | undefined, credentials: Credentials): RequestSigner {
  const functionUrl = FUNCTION_URL.exec(hostname);
  const signedFor = region ?? functionUrl?.[1] ?? regionOfHost(hostname);
  if (signedFor === undefined)
    throw new TypeError('http.region is required, because the host name of http.endpoint does not contain a region.');
  let clockOffsetMs = 0;
  const now = (): number => Date.now() + clockOffsetMs;
  const limited = withTimeLimit(credentials);
  const cache = typeof limited === 'function' ? new CachedCredentials(limited, now) : undefined;
  const signer = new SignatureV4({
    service: functionUrl === null ? 'execute-api' : 'lambda',
    region: signedFor,
    credentials: cache === undefined ? credentials : () => cache.get(),
    sha256: Sha256,
  });
  return {
    async sign(url, headers, body) {
      const { protocol, host, hostname: to, pathname: path } = url;
      const request = { method: 'POST', protocol, hostname: to, path, headers: { ...headers, host }, body };
      const signed = await signer.sign(request, { signingDate: new Date(now()) });
      // Node adds the host header.
      delete signed.headers['host'];
      return signed.headers;
    },
    correctClock(date, signedAtMs) {
      const dateMs = dateOf(date ?? '') ?? Number.NaN;
      if (!isSkew(dateMs - signedAtMs)) return false;
      const aheadMs = dateMs - Date.now();
      clockOffsetMs = isSkew(aheadMs) ? aheadMs : 0;
      return true;
    },
    renewCredentials() {
      cache?.clear();
    },
    get clockOffsetMs() {
      return clockOffsetMs;
    },
  };
}

/** The host name of a function URL. The pattern captures its region. */
const FUNCTION_URL = /\.lambda-url\.([a-z0-9-]+)\.on\.aws$/;

/** Reads the region from an API Gateway host name. Returns undefined for a custom domain name. */
function regionOfHost(hostname: string): string | undefined {
  const [, region, domain] = /\.execute-api(?:-fips)?\.([a-z0-9-]+)\.([a-z0-9.-]+)$/.exec(hostname) ?? [];
  if (region === undefined) return undefined;
  const { dnsSuffix, dualStackDnsSuffix } = partition(region);
  return domain === dnsSuffix || domain === dualStackDnsSuffix ? region : undefined;
}

/** Cached credentials are renewed five minutes before they expire. */
const RENEWED_BEFORE_MS = 300_000;

/**
 * Caches the credentials of a provider until shortly before they expire, as the SDK's clients do. Most of the SDK's
 * providers cache nothing, so without this cache a provider that assumes a role would call STS for each request.
 * Credentials without an expiration are not cached.
 */
class CachedCredentials {
  readonly #provider: (options?: { readonly forceRefresh?: boolean }) => Promise<Identity>;
  readonly #now: () => number;
  #cached: Identity | undefined;
  #pending: Promise<Identity> | undefined;
  #mustRenew = false;

  constructor(provider: () => Promise<Identity>, now: () => number) {
    this.#provider = provider;
    this.#now = now;
  }

  async get(): Promise<Identity> {
    const cached = this.#cached;
    if (cached?.expiration !== undefined && +cached.expiration - this.#now() > RENEWED_BEFORE_MS) return cached;
    try {
      this.#pending ??= this.#request().finally(() => (this.#pending = undefined));
      return (this.#cached = await this.#pending);
    } catch (error) {
      throw credentialsError(error);
    }
  }

  clear(): void {
    this.#cached = undefined;
    this.#mustRenew = true;
  }

  /** @throws TypeError if the provider returns a value that is not credentials */
  async #request(): Promise<Identity> {
    const forceRefresh = this.#mustRenew;
    this.#mustRenew = false;
    const given: unknown = await (forceRefresh ? this.#provider({ forceRefresh }) : this.#provider());
    if (typeof given === 'object' && given !== null && isIdentity(given)) return given;
    throw new TypeError('http.credentials must return credentials.');
  }
}
