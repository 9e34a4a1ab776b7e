import { DecryptCommand, EncryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { eitherOf, orAborted } from '../async/deadline.ts';
import type { Deadline } from '../async/deadline.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import { guardHandler } from '../connections/agents.ts';
import { foundCredentials } from '../connections/found-credentials.ts';
import { withTimeLimit, type Credentials, type SdkClient } from '../connections/sdk-client.ts';
import { signatureFaultOf } from '../connections/signature-fault.ts';
import { RegionFault, type KmsAction } from './region-fault.ts';
import { parseKmsArn } from './key-arn.ts';
import type { KmsRegion, Wrap } from './kms-region.ts';

/** Timeouts of one KMS call. */
export interface KmsTimeouts {
  readonly connectionTimeoutMs: number;
  /** The limit for a whole call, from its start to the last byte of the response. */
  readonly requestTimeoutMs: number;
}

/** Options of {@link RegionalKms}. */
export interface RegionalKmsOptions {
  readonly region: string;
  /** The KMS key: a key ARN or an alias ARN. */
  readonly keyArn: string;
  /** AWS accounts whose KMS keys may be used. */
  readonly accounts: ReadonlySet<string>;
  readonly timeouts: KmsTimeouts;
  /** Replaces AWS's endpoint, so that an emulator can be used. */
  readonly endpoint: string | undefined;
  readonly credentials?: Credentials | undefined;
  /** The caller's client for this region. If it is present, Keyfold makes no client from the settings above. */
  readonly client?: SdkClient | undefined;
}

/** The longest ciphertext that KMS accepts. */
const MAX_CIPHERTEXT_BYTES = 6144;

/** AWS KMS in one region. The retries of the AWS SDK are off, because `Failover` retries. */
export class RegionalKms implements KmsRegion {
  readonly region: string;
  readonly keyArn: string;
  readonly #accounts: ReadonlySet<string>;
  readonly #client: KMSClient;
  readonly #isGiven: boolean;
  readonly #requestTimeoutMs: number;

  constructor({ region, keyArn, accounts, timeouts, endpoint, credentials, client }: RegionalKmsOptions) {
    this.region = region;
    this.keyArn = keyArn;
    this.#accounts = accounts;
    this.#requestTimeoutMs = timeouts.requestTimeoutMs;
    this.#isGiven = client !== undefined;
    this.#client =
      (client as KMSClient | undefined) ??
      new KMSClient({
        region,
        ...(endpoint === undefined ? {} : { endpoint }),
        credentials: credentials === undefined ? foundCredentials() : withTimeLimit(credentials),
        maxAttempts: 1,
        requestHandler: {
          connectionTimeout: timeouts.connectionTimeoutMs,
          // Each call opens a new connection. A reused connection could be dead after a Lambda freeze. The failed call
          // would then count as a failure of the region. A process makes so few calls that new connections cost little.
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
        // After an abort, no caller owns this plaintext. Throw here, so that zeroedOnThrow zeroes it.
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
    if (named !== undefined && !this.#accounts.has(named.account)) throw this.#foreignAccount('Decrypt');
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
        // After an abort, no caller owns this plaintext. Throw here, so that zeroedOnThrow zeroes it.
        abortSignal.throwIfAborted();
        this.#keyUsed('Decrypt', keyId, KeyId);
        return plaintext;
      });
    });
  }

  /** @throws TypeError if the caller's client itself retries requests */
  async #call<T>(action: KmsAction, deadline: Deadline, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#isGiven && (await this.#client.config.maxAttempts()) !== 1) {
      throw new TypeError('AwsKms retries by itself. options.clients must make KMSClients with maxAttempts: 1.');
    }
    try {
      return await this.#attempt(action, deadline, send).catch(async (error: unknown) => {
        const fault = signatureFaultOf(error);
        if (fault === undefined || deadline.signal.aborted) throw error;
        // The SDK corrects its clock by the date in KMS's response, so a second attempt is signed with the right time.
        if (fault === 'credentials') await this.#renewCredentials(deadline);
        return this.#attempt(action, deadline, send);
      });
    } catch (error) {
      deadline.signal.throwIfAborted();
      if (error instanceof RegionFault) throw error;
      // To keep cold starts short, the code that classifies errors is loaded at the first error.
      const { classify } = await import('./faults.ts');
      throw classify(this.region, action, error);
    }
  }

  async #attempt<T>(action: KmsAction, deadline: Deadline, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const attempt = eitherOf(deadline.signal, AbortSignal.timeout(this.#requestTimeoutMs));
    this.#guard();
    const sent = this.#loadCredentials(action).then(() => send(attempt));
    return orAborted(sent, attempt).finally(() => this.#guard());
  }

  /**
   * Loads the credentials before a request, so that an error of the credential provider does not look like an error of
   * KMS. If the provider fails because its own credentials have expired, calls it once more.
   */
  async #loadCredentials(action: KmsAction): Promise<void> {
    const { config } = this.#client;
    try {
      await config.credentials().catch((error: unknown) => {
        if (signatureFaultOf(error) === undefined) throw error;
        return config.credentials({ forceRefresh: true });
      });
    } catch (error) {
      const { credentialsFault } = await import('./faults.ts');
      throw credentialsFault(this.region, action, error);
    }
  }

  /**
   * Guards the HTTP agents of a caller's client against freezes. Call this before each request, and also after it,
   * because the client creates the agents during its first request.
   */
  #guard(): void {
    if (this.#isGiven) guardHandler(this.#client.config.requestHandler);
  }

  /** Loads new credentials. A failure is ignored, because the next attempt will report it. */
  async #renewCredentials(deadline: Deadline): Promise<void> {
    const renewed = this.#client.config.credentials({ forceRefresh: true });
    await orAborted(renewed, deadline.signal).catch(() => {});
  }

  /**
   * Checks the ARN of the KMS key in the response, and returns it.
   * @throws RegionFault if the key is in an account that is not configured, or if the request named another key ARN
   */
  #keyUsed(action: KmsAction, requested: string | undefined, used: string | undefined): string {
    if (used === undefined) throw this.#incomplete(action);
    const arn = parseKmsArn(used);
    if (arn?.kind !== 'key' || !this.#accounts.has(arn.account)) throw this.#foreignAccount(action);
    if (requested === undefined || parseKmsArn(requested)?.kind !== 'key' || requested === used) return used;
    throw new RegionFault(this.region, action, 'corrupt', 'AnotherKeyUsed');
  }

  #present(action: KmsAction, bytes: Uint8Array | undefined): Uint8Array {
    if (bytes !== undefined && bytes.length > 0) return bytes;
    throw this.#incomplete(action);
  }

  #foreignAccount(action: KmsAction): RegionFault {
    return new RegionFault(this.region, action, 'corrupt', 'KeyOfAnotherAccount');
  }

  #incomplete(action: KmsAction): RegionFault {
    return new RegionFault(this.region, action, 'unavailable', 'IncompleteAnswer');
  }
}

/** Passes the plaintext of a KMS response to `use`. If `use` throws, zeroes the plaintext. */
function zeroedOnThrow<T>(bytes: Uint8Array = new Uint8Array(), use: (plaintext: Buffer) => T): T {
  const plaintext = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return use(plaintext);
  } catch (error) {
    plaintext.fill(0);
    throw error;
  }
}
