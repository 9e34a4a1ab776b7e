import { DecryptCommand, EncryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { orAborted } from '../envelope/deadline.ts';
import type { Deadline } from '../envelope/ports.ts';
import { classify, RegionFault, type KmsAction } from './faults.ts';
import { parseKmsArn } from './key-arn.ts';

/** How long one call may take. */
export interface KmsTimeouts {
  readonly connectionTimeoutMs: number;
  /** From the call to the last byte of its answer. */
  readonly requestTimeoutMs: number;
}

/** A region as it was when last spoken to. */
export interface RegionState {
  readonly region: string;
  /** `unknown` until the first call ends. */
  readonly state: 'ok' | 'unknown' | RegionFault['faultClass'];
  /** Why the last call failed; absent after one that did not. */
  readonly lastError?: string;
  /** When, in milliseconds since 1970; absent before the first call. */
  readonly atMs?: number;
}

/**
 * KMS in one region. Each method throws a RegionFault, or the deadline's reason, and makes one call: who retries is
 * decided above. Buffers with a plaintext key are the caller's, who zeroes them.
 */
export class RegionalKms {
  readonly region: string;
  /** What the region is configured with: a key ARN or an alias ARN. */
  readonly keyArn: string;
  readonly #accounts: ReadonlySet<string>;
  readonly #client: KMSClient;
  readonly #requestTimeoutMs: number;
  #state: RegionState;

  /** `accounts` are those whose keys may be used. `endpoint` replaces AWS's own, for an emulator. */
  constructor(
    region: string,
    keyArn: string,
    accounts: ReadonlySet<string>,
    timeouts: KmsTimeouts,
    endpoint: string | undefined,
  ) {
    this.region = region;
    this.keyArn = keyArn;
    this.#accounts = accounts;
    this.#requestTimeoutMs = timeouts.requestTimeoutMs;
    this.#state = { region, state: 'unknown' };
    this.#client = new KMSClient({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      maxAttempts: 1,
      requestHandler: {
        connectionTimeout: timeouts.connectionTimeoutMs,
        requestTimeout: timeouts.requestTimeoutMs,
        throwOnRequestTimeout: true,
      },
    });
  }

  /** What the last call found; makes none. */
  get state(): RegionState {
    return this.#state;
  }

  /** A new data key of 256 bits, in the clear and wrapped by the configured key, whose ARN KMS tells. */
  async generateDataKey(deadline: Deadline): Promise<{ plaintext: Buffer; wrapped: Uint8Array; arn: string }> {
    return this.#call('GenerateDataKey', deadline, async (abortSignal) => {
      const command = new GenerateDataKeyCommand({ KeyId: this.keyArn, KeySpec: 'AES_256' });
      const answer = await this.#client.send(command, { abortSignal });
      const plaintext = owned(answer.Plaintext);
      this.#refuseStranger('GenerateDataKey', answer.KeyId, plaintext);
      return { plaintext, wrapped: this.#present('GenerateDataKey', answer.CiphertextBlob), arn: answer.KeyId };
    });
  }

  /** Wraps a data key under the configured key, whose ARN KMS tells. */
  async encrypt(plaintext: Uint8Array, deadline: Deadline): Promise<{ wrapped: Uint8Array; arn: string }> {
    return this.#call('Encrypt', deadline, async (abortSignal) => {
      const command = new EncryptCommand({ KeyId: this.keyArn, Plaintext: plaintext });
      const answer = await this.#client.send(command, { abortSignal });
      this.#refuseStranger('Encrypt', answer.KeyId);
      return { wrapped: this.#present('Encrypt', answer.CiphertextBlob), arn: answer.KeyId };
    });
  }

  /**
   * Unwraps a data key.
   * @param keyId the key to use: a key ARN, which KMS must then say it used; an alias; or undefined, for the key that the
   * ciphertext itself names
   */
  async decrypt(wrapped: Uint8Array, keyId: string | undefined, deadline: Deadline): Promise<Buffer> {
    const named = keyId === undefined ? undefined : parseKmsArn(keyId);
    if (named !== undefined && !this.#accounts.has(named.account)) throw this.#stranger('Decrypt');
    return this.#call('Decrypt', deadline, async (abortSignal) => {
      const command = new DecryptCommand({ CiphertextBlob: wrapped, ...(keyId === undefined ? {} : { KeyId: keyId }) });
      const answer = await this.#client.send(command, { abortSignal });
      const plaintext = owned(answer.Plaintext);
      this.#refuseStranger('Decrypt', answer.KeyId, plaintext);
      if (named?.kind === 'key' && answer.KeyId !== keyId) {
        plaintext.fill(0);
        throw new RegionFault(this.region, 'Decrypt', 'corrupt', 'AnotherKeyUsed');
      }
      return plaintext;
    });
  }

  async #call<T>(action: KmsAction, deadline: Deadline, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const attempt = AbortSignal.any([deadline.signal, AbortSignal.timeout(this.#requestTimeoutMs)]);
    try {
      const answer = await orAborted(send(attempt), attempt);
      this.#state = { region: this.region, state: 'ok', atMs: Date.now() };
      return answer;
    } catch (error) {
      deadline.signal.throwIfAborted();
      const fault = error instanceof RegionFault ? error : classify(this.region, action, error);
      this.#state = { region: this.region, state: fault.faultClass, lastError: fault.errorName, atMs: Date.now() };
      throw fault;
    }
  }

  /** Refuses an answer unless KMS says that it used a key of ours; the plaintext it came with is then zeroed. */
  #refuseStranger(action: KmsAction, keyId: string | undefined, plaintext?: Buffer): asserts keyId is string {
    if (keyId === undefined) throw new RegionFault(this.region, action, 'unavailable', 'IncompleteAnswer');
    const used = parseKmsArn(keyId);
    if (used?.kind === 'key' && this.#accounts.has(used.account)) return;
    plaintext?.fill(0);
    throw this.#stranger(action);
  }

  #stranger(action: KmsAction): RegionFault {
    return new RegionFault(this.region, action, 'corrupt', 'KeyOfAnotherAccount');
  }

  #present(action: KmsAction, bytes: Uint8Array | undefined): Uint8Array {
    if (bytes !== undefined && bytes.length > 0) return bytes;
    throw new RegionFault(this.region, action, 'unavailable', 'IncompleteAnswer');
  }
}

/** The same bytes as a Buffer; none where there are none. */
function owned(bytes: Uint8Array | undefined): Buffer {
  return bytes === undefined ? Buffer.alloc(0) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
