import {
  DecryptCommand,
  DescribeKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GetKeyRotationStatusCommand,
  KMSClient,
} from '@aws-sdk/client-kms';
import type { Clock } from '../async/clock.ts';
import { foundCredentials } from '../connections/found-credentials.ts';
import { outcomeOf, watchClocks, type Outcome } from '../connections/inspected-calls.ts';
import { errorNameOf } from '../errors.ts';
import type { KmsInspector, KmsKeyDescription } from '../maintenance/inspection.ts';

/** The timeouts of each call, in milliseconds. A region that does not respond within them counts as down. */
const TIMEOUTS = { connectionTimeout: 1000, requestTimeout: 3000, socketTimeout: 3000, throwOnRequestTimeout: true };
const PROBE_BYTES = 32;

/** Inspects the KMS key of one region for an operator. */
export class AwsKmsInspector implements KmsInspector {
  readonly region: string;
  readonly keyArn: string;
  readonly clockOffsetMs: () => number | undefined;
  readonly #client: KMSClient;

  constructor(region: string, keyArn: string, now: Clock) {
    this.region = region;
    this.keyArn = keyArn;
    this.#client = new KMSClient({
      region,
      credentials: foundCredentials(),
      maxAttempts: 2,
      requestHandler: TIMEOUTS,
    });
    this.clockOffsetMs = watchClocks(this.#client, now);
  }

  async tryActions(): ReturnType<KmsInspector['tryActions']> {
    const KeyId = this.keyArn;
    const GenerateDataKey = await this.#dryRun(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256', DryRun: true }));
    // Encrypt zeros, because only a ciphertext of this key can show that Decrypt works. The ciphertext is not stored.
    const encrypted = await outcomeOf(() =>
      this.#client.send(new EncryptCommand({ KeyId, Plaintext: Buffer.alloc(PROBE_BYTES) })),
    );
    if ('fault' in encrypted) return { GenerateDataKey, Encrypt: encrypted };
    const { answer, latencyMs } = encrypted;
    const Decrypt = await this.tryDecrypt(answer.CiphertextBlob ?? new Uint8Array(), KeyId);
    return { GenerateDataKey, Encrypt: { answer: undefined, latencyMs }, Decrypt };
  }

  tryDecrypt(CiphertextBlob: Uint8Array, keyId: string | undefined): Promise<Outcome<void>> {
    return this.#dryRun(
      new DecryptCommand({ CiphertextBlob, ...(keyId !== undefined && { KeyId: keyId }), DryRun: true }),
    );
  }

  describe(): Promise<Outcome<KmsKeyDescription>> {
    return outcomeOf(async () => {
      const { KeyMetadata: key } = await this.#client.send(new DescribeKeyCommand({ KeyId: this.keyArn }));
      return {
        arn: key?.Arn ?? '',
        state: key?.KeyState ?? 'unknown',
        deletedAtMs: key?.DeletionDate?.getTime(),
        materialEndsAtMs: key?.ValidTo?.getTime(),
        encrypts: key?.KeySpec === 'SYMMETRIC_DEFAULT' && key.KeyUsage === 'ENCRYPT_DECRYPT',
        origin: key?.Origin ?? 'unknown',
      };
    });
  }

  rotation(arn: string): Promise<Outcome<number | undefined>> {
    return outcomeOf(async () => {
      const status = await this.#client.send(new GetKeyRotationStatusCommand({ KeyId: arn }));
      return status.KeyRotationEnabled === true ? (status.RotationPeriodInDays ?? DEFAULT_ROTATION_DAYS) : undefined;
    });
  }

  #dryRun(command: GenerateDataKeyCommand | DecryptCommand): Promise<Outcome<void>> {
    return outcomeOf(async () => {
      try {
        await this.#client.send(command as DecryptCommand);
      } catch (error) {
        // KMS responds with this error to a dry run that would have succeeded as a real call.
        if (errorNameOf(error) !== 'DryRunOperationException') throw error;
      }
    });
  }
}

/** KMS's default rotation period, which applies unless an operator has set another one for the key. */
const DEFAULT_ROTATION_DAYS = 365;
