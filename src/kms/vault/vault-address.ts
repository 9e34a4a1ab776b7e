import type { Clock } from '../../async/clock.ts';
import type { Deadline } from '../../async/deadline.ts';
import { decodeBase64 } from '../../crypto/base64.ts';
import { viewOf } from '../../input/checks.ts';
import { membersOf } from '../../input/json-object.ts';
import { withinAttempt } from '../attempt.ts';
import type { Region } from '../failover.ts';
import { RegionFault, type KmsAction } from '../region-fault.ts';
import type { VaultAuth } from './vault-auth.ts';
import { isCiphertext, isOfRsa } from './vault-ciphertext.ts';
import { faultOf } from './vault-faults.ts';
import { VaultHttp, type VaultAnswer } from './vault-http.ts';
import { VaultToken } from './vault-token.ts';

/** The options that all addresses of one Vault share. */
export interface VaultSettings {
  readonly transitKey: string;
  readonly transitMount: string;
  readonly namespace: string | undefined;
  readonly auth: VaultAuth;
  readonly ca: string | undefined;
  readonly requestTimeoutMs: number;
  readonly now: Clock;
}

/** The name of an address in events and errors: its host, with its path if it has one. */
export function nameOf(address: string): string {
  const { host, pathname } = new URL(address);
  return `${host}${withoutSlashes(pathname)}`;
}

/** The transit engine at one Vault address. A method throws a `RegionFault` if the address fails. */
export class VaultAddress implements Region {
  readonly region: string;
  readonly #settings: VaultSettings;
  readonly #http: VaultHttp;
  readonly #token: VaultToken;

  constructor(address: string, settings: VaultSettings) {
    this.region = nameOf(address);
    this.#settings = settings;
    this.#http = new VaultHttp(withoutSlashes(address), settings.namespace, settings.ca);
    this.#token = new VaultToken(this.region, settings.auth, this.#http, settings.now, settings.requestTimeoutMs);
  }

  /** Wraps a key. Returns the ciphertext, `vault:v1:…`. Fails if the transit key is an RSA key. */
  async encrypt(key: Uint8Array, deadline: Deadline): Promise<string> {
    return this.#call('Encrypt', deadline, { plaintext: viewOf(key).toString('base64') }, ({ ciphertext }) => {
      if (!isCiphertext(ciphertext)) return undefined;
      if (isOfRsa(ciphertext)) throw new RegionFault(this.region, 'Encrypt', 'misconfigured', 'AsymmetricKey');
      return ciphertext;
    });
  }

  /** Unwraps a key. The caller owns the bytes and must zero them. */
  async decrypt(ciphertext: string, deadline: Deadline): Promise<Buffer> {
    return this.#call('Decrypt', deadline, { ciphertext }, ({ plaintext }) => {
      const key = typeof plaintext === 'string' ? decodeBase64(plaintext) : undefined;
      return key === undefined || key.length === 0 ? undefined : key;
    });
  }

  /**
   * Calls the transit engine, after a login if one is due. The timeout includes the login.
   * @param read extracts the result from the response's data. It is not called after an abort, because no caller would
   * own the key that it returns.
   */
  async #call<T>(
    action: 'Encrypt' | 'Decrypt',
    deadline: Deadline,
    body: object,
    read: (data: Readonly<Record<string, unknown>>) => T | undefined,
  ): Promise<T> {
    const { requestTimeoutMs: timeoutMs, now } = this.#settings;
    return withinAttempt({ region: this.region, action, timeoutMs, now }, deadline, async (attempt) => {
      const answer = await this.#transit(action, body, attempt);
      attempt.signal.throwIfAborted();
      if (answer.status !== 200) throw faultOf(this.region, action, 'transit', answer);
      const result = read(membersOf(answer.body['data']));
      if (result === undefined) throw new RegionFault(this.region, action, 'unavailable', 'IncompleteAnswer');
      return result;
    });
  }

  /** Sends a request. If Vault refuses the token, sends the request once more with a new token. */
  async #transit(action: KmsAction, body: object, attempt: Deadline): Promise<VaultAnswer> {
    const { transitMount, transitKey } = this.#settings;
    const path = `${transitMount}/${action === 'Encrypt' ? 'encrypt' : 'decrypt'}/${transitKey}`;
    const send = (token: string): Promise<VaultAnswer> =>
      this.#http.post(path, token, Buffer.from(JSON.stringify(body)), attempt.signal);
    const token = await this.#token.get(action, attempt);
    const answer = await send(token);
    if (answer.status !== 403) return answer;
    // The token may have expired early, or it may have been revoked.
    const another = await this.#token.get(action, attempt, token);
    return another === token ? answer : send(another);
  }
}

/**
 * Removes trailing slashes. It uses no regular expression, which would take quadratic time for an address with many
 * slashes.
 */
function withoutSlashes(address: string): string {
  let end = address.length;
  while (address[end - 1] === '/') end -= 1;
  return address.slice(0, end);
}
