import { DecryptCommand, EncryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { orAborted } from '../async/deadline.ts';
import type { Deadline } from '../async/deadline.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import { signatureFaultOf } from '../connections/signature-fault.ts';
import { classify, RegionFault, type KmsAction } from './faults.ts';
import { parseKmsArn } from './key-arn.ts';
import type { KmsRegion, Wrap } from './kms-region.ts';

/** How long one call may take. */
export interface KmsTimeouts {
  readonly connectionTimeoutMs: number;
  /** From the call to the last byte of its answer. */
  readonly requestTimeoutMs: number;
}

/** What {@link RegionalKms} is made of. */
export interface RegionalKmsOptions {
  readonly region: string;
  /** A key ARN or an alias ARN. */
  readonly keyArn: string;
  /** Those whose keys may be used. */
  readonly accounts: ReadonlySet<string>;
  readonly timeouts: KmsTimeouts;
  /** Replaces AWS's own, for an emulator. */
  readonly endpoint: string | undefined;
}

/** The longest ciphertext that KMS takes. */
const MAX_CIPHERTEXT_BYTES = 6144;

/** AWS KMS in one region, through the AWS SDK without its retries. */
export class RegionalKms implements KmsRegion {
  readonly region: string;
  readonly keyArn: string;
  readonly #accounts: ReadonlySet<string>;
  readonly #client: KMSClient;
  readonly #requestTimeoutMs: number;

  constructor({ region, keyArn, accounts, timeouts, endpoint }: RegionalKmsOptions) {
    this.region = region;
    this.keyArn = keyArn;
    this.#accounts = accounts;
    this.#requestTimeoutMs = timeouts.requestTimeoutMs;
    this.#client = new KMSClient({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      maxAttempts: 1,
      requestHandler: {
        connectionTimeout: timeouts.connectionTimeoutMs,
        requestTimeout: timeouts.requestTimeoutMs,
        throwOnRequestTimeout: true,
        // A process makes few calls. A connection kept while Lambda freezes it would be found dead, and the region
        // blamed for it.
        httpAgent: { keepAlive: false },
        httpsAgent: { keepAlive: false },
      },
    });
  }

  async generateDataKey(deadline: Deadline): Promise<Wrap & { plaintext: Buffer }> {
    return this.#call('GenerateDataKey', deadline, async (abortSignal) => {
      const command = new GenerateDataKeyCommand({ KeyId: this.keyArn, KeySpec: 'AES_256' });
      const { Plaintext, CiphertextBlob, KeyId } = await this.#client.send(command, { abortSignal });
      return zeroedOnThrow(Plaintext, (plaintext) => {
        // Nobody would zero what comes when nobody waits any more.
        abortSignal.throwIfAborted();
        if (plaintext.length !== KEY_BYTES) throw this.#incomplete('GenerateDataKey');
        const arn = this.#keyUsed('GenerateDataKey', this.keyArn, KeyId);
        return { plaintext, wrapped: this.#present('GenerateDataKey', CiphertextBlob), arn };
      });
    });
  }

  async encrypt(plaintext: Uint8Array, deadline: Deadline): Promise<Wrap> {
    return this.#call('Encrypt', deadline, async (abortSignal) => {
      const command = new EncryptCommand({ KeyId: this.keyArn, Plaintext: plaintext });
      const { CiphertextBlob, KeyId } = await this.#client.send(command, { abortSignal });
      const arn = this.#keyUsed('Encrypt', this.keyArn, KeyId);
      return { wrapped: this.#present('Encrypt', CiphertextBlob), arn };
    });
  }

  async decrypt(wrapped: Uint8Array, keyId: string | undefined, deadline: Deadline): Promise<Buffer> {
    const named = keyId === undefined ? undefined : parseKmsArn(keyId);
    if (named !== undefined && !this.#accounts.has(named.account)) throw this.#stranger('Decrypt');
    if (named !== undefined && named.region !== this.region) {
      throw new RegionFault(this.region, 'Decrypt', 'corrupt', 'KeyOfAnotherRegion');
    }
    if (wrapped.length === 0 || wrapped.length > MAX_CIPHERTEXT_BYTES) {
      throw new RegionFault(this.region, 'Decrypt', 'corrupt', 'WrapOfImpossibleSize');
    }
    return this.#call('Decrypt', deadline, async (abortSignal) => {
      const command = new DecryptCommand({ CiphertextBlob: wrapped, ...(keyId === undefined ? {} : { KeyId: keyId }) });
      const { Plaintext, KeyId } = await this.#client.send(command, { abortSignal });
      return zeroedOnThrow(Plaintext, (plaintext) => {
        abortSignal.throwIfAborted();
        this.#keyUsed('Decrypt', keyId, KeyId);
        return plaintext;
      });
    });
  }

  async #call<T>(action: KmsAction, deadline: Deadline, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await this.#attempt(deadline, send).catch(async (error: unknown) => {
        const fault = signatureFaultOf(error);
        if (fault === undefined || deadline.signal.aborted) throw error;
        // From the answer's date the SDK has learnt by how much the clock is off. It signs the next request by that.
        if (fault === 'credentials') await this.#renewCredentials(deadline);
        return this.#attempt(deadline, send);
      });
    } catch (error) {
      deadline.signal.throwIfAborted();
      throw error instanceof RegionFault ? error : classify(this.region, action, error);
    }
  }

  async #attempt<T>(deadline: Deadline, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const attempt = AbortSignal.any([deadline.signal, AbortSignal.timeout(this.#requestTimeoutMs)]);
    return orAborted(send(attempt), attempt);
  }

  /** If this fails, the next attempt finds out why. */
  async #renewCredentials(deadline: Deadline): Promise<void> {
    const renewed = this.#client.config.credentials({ forceRefresh: true });
    await orAborted(renewed, deadline.signal).catch(() => {});
  }

  /**
   * The ARN of the key that KMS says it used. Refused unless it is of our accounts, and the very one where one was
   * named.
   */
  #keyUsed(action: KmsAction, asked: string | undefined, used: string | undefined): string {
    if (used === undefined) throw this.#incomplete(action);
    const arn = parseKmsArn(used);
    if (arn?.kind !== 'key' || !this.#accounts.has(arn.account)) throw this.#stranger(action);
    if (asked === undefined || parseKmsArn(asked)?.kind !== 'key' || asked === used) return used;
    throw new RegionFault(this.region, action, 'corrupt', 'AnotherKeyUsed');
  }

  #present(action: KmsAction, bytes: Uint8Array | undefined): Uint8Array {
    if (bytes !== undefined && bytes.length > 0) return bytes;
    throw this.#incomplete(action);
  }

  #stranger(action: KmsAction): RegionFault {
    return new RegionFault(this.region, action, 'corrupt', 'KeyOfAnotherAccount');
  }

  #incomplete(action: KmsAction): RegionFault {
    return new RegionFault(this.region, action, 'unavailable', 'IncompleteAnswer');
  }
}

/** Makes something of a plaintext that KMS has answered with; its bytes are zeroed where that throws. */
function zeroedOnThrow<T>(bytes: Uint8Array = new Uint8Array(), use: (plaintext: Buffer) => T): T {
  const plaintext = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return use(plaintext);
  } catch (error) {
    plaintext.fill(0);
    throw error;
  }
}
