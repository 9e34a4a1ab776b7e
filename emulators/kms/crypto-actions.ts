import { randomBytes } from 'node:crypto';
import { KmsApiError, validation } from './api-error.ts';
import { decryptBlob, encryptBlob, keyIdOf } from './ciphertext.ts';
import type { Input } from './input.ts';
import { usable, type Action } from './key-actions.ts';
import { keyArn, type EmulatedKey, type KeyStore, type Place } from './key-store.ts';

const MAX_PLAINTEXT_BYTES = 4096;
const MAX_CIPHERTEXT_BYTES = 6144;
const MAX_DATA_KEY_BYTES = 1024;
const DATA_KEY_BYTES = new Map([
  ['AES_256', 32],
  ['AES_128', 16],
]);

/** The encryption algorithms that KMS knows. A symmetric key supports only the first one. */
const ALGORITHMS = ['SYMMETRIC_DEFAULT', 'RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256', 'SM2PKE'];

/** The KMS actions that encrypt, decrypt and generate data keys. */
export const CRYPTO_ACTIONS: Readonly<Record<string, Action>> = {
  GenerateDataKey: {
    members: ['KeyId', 'EncryptionContext', 'KeySpec', 'NumberOfBytes', 'DryRun'],
    perform: (store, place, input) => {
      const context = input.encryptionContext();
      const bytes = dataKeyBytes(input);
      const key = usable(store.find(place, input.keyId()));
      input.endDryRun();
      const plaintext = randomBytes(bytes);
      const blob = encryptBlob(key, plaintext, context);
      return { KeyId: keyArn(key), Plaintext: base64(plaintext), CiphertextBlob: base64(blob) };
    },
  },
  Encrypt: {
    members: ['KeyId', 'Plaintext', 'EncryptionContext', 'EncryptionAlgorithm', 'DryRun'],
    perform: (store, place, input) => {
      const context = input.encryptionContext();
      const plaintext = input.bytes('Plaintext', MAX_PLAINTEXT_BYTES);
      const key = usable(store.find(place, input.keyId()));
      symmetric(input);
      input.endDryRun();
      const blob = encryptBlob(key, plaintext, context);
      return { KeyId: keyArn(key), CiphertextBlob: base64(blob), EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
    },
  },
  Decrypt: {
    members: ['CiphertextBlob', 'KeyId', 'EncryptionContext', 'EncryptionAlgorithm', 'DryRun'],
    perform: (store, place, input) => {
      const context = input.encryptionContext();
      const blob = input.bytes('CiphertextBlob', MAX_CIPHERTEXT_BYTES);
      const key = usable(keyOfBlob(store, place, blob, input.optionalKeyId()));
      symmetric(input);
      const plaintext = decryptBlob(key, blob, context);
      input.endDryRun();
      return { KeyId: keyArn(key), Plaintext: base64(plaintext), EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' };
    },
  },
};

/**
 * Finds the key that sealed a blob. The key may belong to another account.
 * @param named the request's `KeyId`, if any
 * @throws KmsApiError `IncorrectKeyException` if `named` is another key
 */
function keyOfBlob(store: KeyStore, place: Place, blob: Buffer, named: string | undefined): EmulatedKey {
  const keyId = keyIdOf(blob);
  if (named !== undefined) {
    const key = store.find(place, named);
    if (key.keyId === keyId) return key;
    throw new KmsApiError(
      'IncorrectKeyException',
      'The key ID in the request does not identify the key that was used.',
    );
  }
  const key = store.findInRegion(place.region, keyId);
  if (key !== undefined) return key;
  throw new KmsApiError(
    'AccessDeniedException',
    'The ciphertext refers to a key that does not exist, does not exist in this region, or that you may not use.',
  );
}

function dataKeyBytes(input: Input): number {
  const spec = input.optionalText('KeySpec');
  const count = input.number('NumberOfBytes', 1, MAX_DATA_KEY_BYTES);
  if ((spec === undefined) === (count === undefined)) throw validation('Give one of KeySpec and NumberOfBytes');
  const bytes = count ?? DATA_KEY_BYTES.get(spec ?? '');
  if (bytes === undefined) throw validation("Value at 'KeySpec' must be one of AES_256, AES_128");
  return bytes;
}

function symmetric(input: Input): void {
  const algorithm = input.optionalText('EncryptionAlgorithm') ?? 'SYMMETRIC_DEFAULT';
  if (algorithm === 'SYMMETRIC_DEFAULT') return;
  if (!ALGORITHMS.includes(algorithm))
    throw validation(`Value at 'EncryptionAlgorithm' must be one of ${ALGORITHMS.join(', ')}`);
  throw new KmsApiError('InvalidKeyUsageException', 'The key does not take that algorithm.');
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64');
}
