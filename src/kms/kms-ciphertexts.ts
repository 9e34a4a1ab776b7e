import { DecryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { recordUnreadable } from '../errors.ts';
import type { CiphertextOpener } from '../maintenance/reencryption/verbs.ts';
import { classify } from './faults.ts';
import { regionsFailed } from './region-fault.ts';

/** Standard retries bridge the throttling of a run with many rows. */
const CLIENT = {
  maxAttempts: 5,
  requestHandler: { connectionTimeout: 1000, requestTimeout: 3000, socketTimeout: 3000, throwOnRequestTimeout: true },
};
/** Opens ciphertexts that `Encrypt` of AWS KMS made in one region. */
export class KmsCiphertexts implements CiphertextOpener {
  readonly #region: string;
  readonly #encryptionContext: Record<string, string> | undefined;
  readonly #client: KMSClient;

  /** @param encryptionContext the encryption context of every ciphertext. Undefined if they have none. */
  constructor(region: string, encryptionContext: Readonly<Record<string, string>> | undefined) {
    this.#region = region;
    this.#encryptionContext = encryptionContext;
    this.#client = new KMSClient({ region, ...CLIENT });
  }

  async open(ciphertext: Uint8Array): Promise<Uint8Array> {
    const EncryptionContext = this.#encryptionContext;
    try {
      const command = new DecryptCommand({
        CiphertextBlob: ciphertext,
        ...(EncryptionContext && { EncryptionContext }),
      });
      const { Plaintext = new Uint8Array() } = await this.#client.send(command);
      return Plaintext;
    } catch (error) {
      const fault = classify(this.#region, 'Decrypt', error);
      if (fault.faultClass === 'corrupt') throw recordUnreadable('KMS refuses the ciphertext');
      throw regionsFailed([fault], 'KMS does not open a ciphertext');
    }
  }
}
