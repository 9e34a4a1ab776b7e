import { DecryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { keptConnections } from '../connections/agents.ts';
import { foundCredentials } from '../connections/found-credentials.ts';
import { retriesOf } from '../connections/retries.ts';
import { recordUnreadable } from '../errors.ts';
import type { CiphertextOpener } from '../maintenance/reencryption/verbs.ts';
import { classify, credentialsFault } from './faults.ts';
import { RegionFault, regionsFailed } from './region-fault.ts';

/** If KMS throttles a run with many rows, this many attempts of the SDK's standard retries are enough. */
const MAX_ATTEMPTS = 5;
const TIMEOUTS = { connectionTimeout: 1000, requestTimeout: 3000, socketTimeout: 3000, throwOnRequestTimeout: true };
const ANSWER_AFTER_FREEZE_MS = 1000;

/** Opens ciphertexts that AWS KMS made with `Encrypt` in one region. */
export class KmsCiphertexts implements CiphertextOpener {
  readonly #region: string;
  readonly #encryptionContext: Record<string, string> | undefined;
  readonly #client: KMSClient;

  /** @param encryptionContext the encryption context of every ciphertext. Undefined if they have none. */
  constructor(region: string, encryptionContext: Readonly<Record<string, string>> | undefined) {
    this.#region = region;
    this.#encryptionContext = encryptionContext;
    this.#client = new KMSClient({
      region,
      credentials: foundCredentials(),
      maxAttempts: MAX_ATTEMPTS,
      retryStrategy: retriesOf(MAX_ATTEMPTS),
      // Unlike a service, a re-encryption run calls KMS once per row, so it keeps its connections open.
      requestHandler: { ...TIMEOUTS, ...keptConnections({ answerWithinMs: ANSWER_AFTER_FREEZE_MS }) },
    });
  }

  async open(ciphertext: Uint8Array): Promise<Uint8Array> {
    const EncryptionContext = this.#encryptionContext;
    try {
      // Load the credentials first, so that an error of their provider does not look like an error of KMS.
      await this.#client.config.credentials().catch((error: unknown) => {
        throw credentialsFault(this.#region, 'Decrypt', error);
      });
      const command = new DecryptCommand({
        CiphertextBlob: ciphertext,
        ...(EncryptionContext && { EncryptionContext }),
      });
      const { Plaintext } = await this.#client.send(command);
      // KMS never encrypts an empty plaintext, so a response without a plaintext is wrong. Without this check, Keyfold
      // would write an empty payload to the row, and the row's data would be lost.
      if (Plaintext !== undefined && Plaintext.length > 0) return Plaintext;
      throw new RegionFault(this.#region, 'Decrypt', 'unavailable', 'IncompleteAnswer');
    } catch (error) {
      const fault = error instanceof RegionFault ? error : classify(this.#region, 'Decrypt', error);
      if (fault.faultClass === 'corrupt') throw recordUnreadable('KMS refuses the ciphertext');
      throw regionsFailed([fault], 'KMS does not open a ciphertext');
    }
  }
}
