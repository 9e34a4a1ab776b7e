import { partition } from '@aws-sdk/core/client';
import { defaultProvider } from '@aws-sdk/credential-provider-node';
import { Sha256 } from '@smithy/core/checksum';
import { SignatureV4 } from '@smithy/signature-v4';
import type { Type } from '../input/checks.ts';
import { dateOf, withoutCredentials } from './errors.ts';

/** An AWS identity, as the SDK has it. */
interface Identity {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  readonly expiration?: Date;
}

/** AWS credentials, or what finds them: any provider of the SDK's is one. */
export type Credentials = Identity | (() => Promise<Identity>);

/** Signs requests, and learns from how they are refused. */
export interface RequestSigner {
  /** Adds the signature to the headers of a POST request. @throws KeyfoldTransportError without credentials */
  sign(url: URL, headers: Record<string, string>, body: string): Promise<Record<string, string>>;
  /**
   * Takes the time from an answer's date, and signs by that from now on.
   * @param signedOffsetMs the offset that the request was signed by: another request may have corrected the clock since
   * @returns whether the request's signature was so far off that AWS refuses it
   */
  correctClock(date: string | undefined, signedOffsetMs: number): boolean;
  /** Asks for credentials before it signs the next request. */
  renewCredentials(): void;
  /** By how much this machine's clock is behind AWS's, in milliseconds; 0 unless it was corrected. */
  readonly clockOffsetMs: number;
}

/** AWS takes a signature within five minutes of its time. The rest is for the way. */
const MAX_SKEW_MS = 240_000;

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
 * Signs requests to API Gateway with AWS Signature Version 4, each anew: a signature holds for five minutes.
 * @param region of the host's name unless given
 * @throws TypeError if the region is not given and not in the host's name
 */
export function requestSigner(
  hostname: string,
  region: string | undefined,
  credentials: Credentials | undefined,
): RequestSigner {
  const signedFor = region ?? regionOfHost(hostname);
  if (signedFor === undefined) throw new TypeError('The region to sign for is not given, nor in the name of the host.');
  let clockOffsetMs = 0;
  const now = (): number => Date.now() + clockOffsetMs;
  const identity = credentials ?? defaultProvider();
  const found = typeof identity === 'function' ? new FoundCredentials(identity, now) : undefined;
  const signer = new SignatureV4({
    service: 'execute-api',
    region: signedFor,
    credentials: found === undefined ? identity : () => found.get(),
    sha256: Sha256,
  });
  return {
    async sign(url, headers, body) {
      const { protocol, host, hostname: to, pathname: path } = url;
      const request = { method: 'POST', protocol, hostname: to, path, headers: { ...headers, host }, body };
      const signed = await signer.sign(request, { signingDate: new Date(now()) });
      // The platform sets it by itself.
      delete signed.headers['host'];
      return signed.headers;
    },
    correctClock(date, signedOffsetMs) {
      const aheadMs = (dateOf(date ?? '') ?? Number.NaN) - Date.now();
      if (!(Math.abs(aheadMs - signedOffsetMs) >= MAX_SKEW_MS)) return false;
      clockOffsetMs = aheadMs;
      return true;
    },
    renewCredentials() {
      found?.forget();
    },
    get clockOffsetMs() {
      return clockOffsetMs;
    },
  };
}

/** Undefined for a name of one's own. Each partition of AWS has its own domains. */
function regionOfHost(hostname: string): string | undefined {
  const [, region, domain] = /\.execute-api(?:-fips)?\.([a-z0-9-]+)\.([a-z0-9.-]+)$/.exec(hostname) ?? [];
  if (region === undefined) return undefined;
  const { dnsSuffix, dualStackDnsSuffix } = partition(region);
  return domain === dnsSuffix || domain === dualStackDnsSuffix ? region : undefined;
}

/** Before credentials end, by how much they are asked for anew. */
const RENEWED_BEFORE_MS = 300_000;

/**
 * Those that tell when they end are kept until shortly before, as the SDK's clients do: most of its providers keep nothing, and
 * one that assumes a role would do so for each request. Any others are asked for each time.
 */
class FoundCredentials {
  readonly #provider: (options?: { readonly forceRefresh?: boolean }) => Promise<Identity>;
  readonly #now: () => number;
  #kept: Identity | undefined;
  #asked: Promise<Identity> | undefined;
  #mustRenew = false;

  constructor(provider: () => Promise<Identity>, now: () => number) {
    this.#provider = provider;
    this.#now = now;
  }

  async get(): Promise<Identity> {
    const kept = this.#kept;
    if (kept?.expiration !== undefined && +kept.expiration - this.#now() > RENEWED_BEFORE_MS) return kept;
    try {
      this.#asked ??= this.#ask().finally(() => (this.#asked = undefined));
      return (this.#kept = await this.#asked);
    } catch (error) {
      throw withoutCredentials(error);
    }
  }

  forget(): void {
    this.#kept = undefined;
    this.#mustRenew = true;
  }

  #ask(): Promise<Identity> {
    const forceRefresh = this.#mustRenew;
    this.#mustRenew = false;
    return forceRefresh ? this.#provider({ forceRefresh }) : this.#provider();
  }
}
