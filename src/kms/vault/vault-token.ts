import type { Clock } from '../../async/clock.ts';
import { orAborted, type Deadline } from '../../async/deadline.ts';
import { SingleFlight } from '../../async/single-flight.ts';
import { mayFindLater } from '../../connections/passing-fault.ts';
import { membersOf } from '../../input/json-object.ts';
import { RegionFault, type KmsAction } from '../region-fault.ts';
import { isHeaderValue, loginBody, secretOf, type VaultAuth } from './vault-auth.ts';
import { faultOf } from './vault-faults.ts';
import type { VaultAnswer, VaultHttp } from './vault-http.ts';

/** A Vault token, and how long it lasts. */
interface Token {
  readonly value: string;
  /** When it was issued or renewed, in milliseconds since 1970. */
  readonly sinceMs: number;
  /** 0 if the token does not expire, or if its life is not known. */
  readonly leaseMs: number;
  /**
   * The lease that the login returned. When the token approaches its maximum life, a renewal returns a shorter lease.
   */
  readonly firstLeaseMs: number;
  readonly renewable: boolean;
}

/** A token is renewed when this share of its lease has passed. */
const RENEWED_AT = 2 / 3;

/**
 * The token of one address. It is renewed when a call needs it and not by a timer, because Lambda freezes timers
 * together with the process. A token that expired during a freeze is replaced by a new login.
 */
export class VaultToken {
  readonly #region: string;
  readonly #auth: VaultAuth;
  readonly #http: VaultHttp;
  readonly #now: Clock;
  readonly #loads: SingleFlight<Token>;
  #token: Token | undefined;

  constructor(region: string, auth: VaultAuth, http: VaultHttp, now: Clock, timeoutMs: number) {
    this.#region = region;
    this.#auth = auth;
    this.#http = http;
    this.#now = now;
    this.#loads = new SingleFlight(timeoutMs, now);
  }

  /**
   * Returns a token that has not expired, according to the clock. @param refused a token that Vault has refused. It is
   * not returned again, unless it is a fixed token.
   * @throws RegionFault if the login fails
   */
  async get(action: KmsAction, deadline: Deadline, refused?: string): Promise<string> {
    if (refused !== undefined && this.#token?.value === refused) this.#token = undefined;
    const held = this.#token;
    if (held !== undefined && this.#isFresh(held, RENEWED_AT)) return held.value;
    const loaded = await this.#loads.run('token', deadline, (flight) => this.#load(action, flight));
    return loaded.value;
  }

  /**
   * Renews the token, or logs in for a new one. If the login fails, returns the former token, unless it has expired.
   */
  async #load(action: KmsAction, deadline: Deadline): Promise<Token> {
    const held = this.#token !== undefined && this.#isFresh(this.#token, 1) ? this.#token : undefined;
    const renewed = held && (await this.#renew(held, action, deadline));
    this.#token =
      renewed ??
      (await this.#logIn(action, deadline).catch((error: unknown) => {
        deadline.signal.throwIfAborted();
        if (held === undefined) throw error;
        return held;
      }));
    return this.#token;
  }

  /**
   * If the clock is now behind the time of the login, it has stepped back. The token's age is then unknown, so the
   * token is not fresh.
   */
  #isFresh({ leaseMs, sinceMs }: Token, share: number): boolean {
    const ageMs = this.#now() - sinceMs;
    return leaseMs === 0 || (ageMs >= 0 && ageMs < leaseMs * share);
  }

  /**
   * Renews a token. If Vault does not respond, or cannot renew it now, the token still serves until it expires.
   * @returns undefined if Vault does not renew the token, or only for a short time. The caller then logs in again.
   */
  async #renew(held: Token, action: KmsAction, { signal }: Deadline): Promise<Token | undefined> {
    if (!held.renewable) return undefined;
    const sinceMs = this.#now();
    let answer: VaultAnswer;
    try {
      answer = await this.#http.post('auth/token/renew-self', held.value, Buffer.from('{}'), signal);
    } catch {
      signal.throwIfAborted();
      return held;
    }
    if (answer.status !== 200 && faultOf(this.#region, action, 'transit', answer).faultClass !== 'misconfigured') {
      return held;
    }
    const leaseMs = leaseOf(answer);
    return leaseMs * 2 < held.firstLeaseMs ? undefined : { ...held, sinceMs, leaseMs };
  }

  async #logIn(action: KmsAction, { signal }: Deadline): Promise<Token> {
    const auth = this.#auth;
    const sinceMs = this.#now();
    if (auth.method === 'token') {
      const value = await this.#asked(action, secretOf(auth.token), signal);
      return { value, sinceMs, leaseMs: 0, firstLeaseMs: 0, renewable: false };
    }
    const body = await this.#asked(action, loginBody(auth, new Date(sinceMs)), signal);
    const path = `auth/${auth.mount ?? auth.method}/login`;
    const answer = await this.#http.post(path, undefined, Buffer.from(JSON.stringify(body)), signal);
    if (answer.status !== 200) throw faultOf(this.#region, action, 'login', answer);
    const { client_token: value, renewable } = membersOf(answer.body['auth']);
    if (typeof value !== 'string' || !isHeaderValue(value)) {
      throw new RegionFault(this.#region, action, 'unavailable', 'IncompleteAnswer');
    }
    const leaseMs = leaseOf(answer);
    return { value, sinceMs, leaseMs, firstLeaseMs: leaseMs, renewable: renewable === true };
  }

  /**
   * Waits for the result of the caller's function. If the function fails, its error is omitted, because it may quote a
   * secret.
   */
  async #asked<T>(action: KmsAction, finding: Promise<T>, signal: AbortSignal): Promise<T> {
    return orAborted(finding, signal).catch((error: unknown) => {
      throw new RegionFault(
        this.#region,
        action,
        mayFindLater(error) ? 'unavailable' : 'misconfigured',
        'NoCredentials',
      );
    });
  }
}

/**
 * The lease of the token in a response, in milliseconds. 0 if the response contains no lease, or if the token does not
 * expire.
 */
function leaseOf({ body }: VaultAnswer): number {
  const { lease_duration: seconds } = membersOf(body['auth']);
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1000 : 0;
}
