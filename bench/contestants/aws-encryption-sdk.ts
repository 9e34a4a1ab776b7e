import { randomBytes } from 'node:crypto';
import type { Contestant } from './contestant.ts';

/** The types of the functions of @aws-crypto/client-node 5 that this file calls. */
export interface AwsEncryptionSdk {
  buildClient(): {
    encrypt(manager: object, plaintext: Buffer, options: object): Promise<{ result: Buffer }>;
    decrypt(
      manager: object,
      sealed: Buffer,
    ): Promise<{
      plaintext: Buffer;
      messageHeader: { readonly encryptionContext: Readonly<Record<string, string>> };
    }>;
  };
  readonly AlgorithmSuiteIdentifier: Readonly<Record<string, number>>;
  readonly RawAesWrappingSuiteIdentifier: Readonly<Record<string, number>>;
  readonly RawAesKeyringNode: new (input: object) => object;
  readonly NodeCachingMaterialsManager: new (input: object) => object;
  readonly getLocalCryptographicMaterialsCache: (capacity: number) => object;
}

const LIMITS = { maxAge: 3_600_000, maxMessagesEncrypted: 2 ** 32 };

/**
 * The AWS Encryption SDK with data key caching. `tuned` omits the ECDSA signature, which Keyfold's records do not have
 * either, and uses one frame for the whole payload. This is the SDK's fastest setting with key commitment.
 * @param options `context` is the encryption context. On decrypt, the caller must check the context, because the SDK
 * does not.
 */
export function awsEncryptionSdk(
  sdk: AwsEncryptionSdk,
  { tuned, context }: { readonly tuned: boolean; readonly context?: Readonly<Record<string, string>> | undefined },
): Contestant<Buffer> {
  const client = sdk.buildClient();
  const manager = new sdk.NodeCachingMaterialsManager({
    backingMaterials: new sdk.RawAesKeyringNode({
      keyName: 'bench',
      keyNamespace: 'keyfold',
      unencryptedMasterKey: randomBytes(32),
      wrappingSuite: sdk.RawAesWrappingSuiteIdentifier['AES256_GCM_IV12_TAG16_NO_PADDING'],
    }),
    cache: sdk.getLocalCryptographicMaterialsCache(100),
    ...LIMITS,
  });
  const suiteId = sdk.AlgorithmSuiteIdentifier['ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY'];
  return {
    encrypt: async (plaintext) => {
      const options = {
        plaintextLength: plaintext.length,
        ...(tuned && { suiteId, frameLength: plaintext.length }),
        ...(context && { encryptionContext: context }),
      };
      return (await client.encrypt(manager, plaintext, options)).result;
    },
    decrypt: async (sealed) => {
      const { plaintext, messageHeader } = await client.decrypt(manager, sealed);
      for (const name in context) {
        if (messageHeader.encryptionContext[name] !== context[name]) throw new Error('another encryption context');
      }
      return plaintext;
    },
  };
}
