import { createCipheriv, createDecipheriv, createHash, createSecretKey, randomBytes } from 'node:crypto';
import { KmsApiError } from './api-error.ts';
import { keyArn, type EmulatedKey } from './key-store.ts';

/**
 * KMS does not document the format of its ciphertexts, so the emulator has its own: magic bytes, key ID, index of the
 * backing key, nonce, tag and ciphertext.
 */
const MAGIC = Buffer.from('kfemu1');
const KEY_ID_BYTES = 36;
const HEADER_BYTES = MAGIC.length + KEY_ID_BYTES + 2;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Name-value pairs that must be the same for Encrypt and Decrypt. Their order does not matter. */
export type EncryptionContext = Readonly<Record<string, string>>;

/** Seals bytes under the key's current backing key. */
export function encryptBlob(key: EmulatedKey, plaintext: Uint8Array, context: EncryptionContext): Buffer {
  const index = key.backingKeys.length - 1;
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.write(key.keyId, MAGIC.length, 'latin1');
  header.writeUInt16BE(index, HEADER_BYTES - 2);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', backingKey(key, index), nonce);
  cipher.setAAD(additionalData(key, header, context));
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([header, nonce, cipher.getAuthTag(), sealed]);
}

/** Reads the key ID from a blob. @throws KmsApiError `InvalidCiphertextException` if the bytes are not a blob */
export function keyIdOf(blob: Buffer): string {
  if (blob.length < HEADER_BYTES + NONCE_BYTES + TAG_BYTES || !blob.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw invalid();
  }
  return blob.toString('latin1', MAGIC.length, MAGIC.length + KEY_ID_BYTES);
}

/**
 * Opens a blob that was sealed under `key`.
 * @throws KmsApiError `InvalidCiphertextException` if the blob was changed or the encryption context differs
 */
export function decryptBlob(key: EmulatedKey, blob: Buffer, context: EncryptionContext): Buffer {
  const header = blob.subarray(0, HEADER_BYTES);
  const index = header.readUInt16BE(HEADER_BYTES - 2);
  if (index >= key.backingKeys.length) throw invalid();
  const tagAt = HEADER_BYTES + NONCE_BYTES;
  const nonce = blob.subarray(HEADER_BYTES, tagAt);
  const decipher = createDecipheriv('aes-256-gcm', backingKey(key, index), nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(additionalData(key, header, context));
  decipher.setAuthTag(blob.subarray(tagAt, tagAt + TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(blob.subarray(tagAt + TAG_BYTES)), decipher.final()]);
  } catch {
    throw invalid();
  }
}

function backingKey(key: EmulatedKey, index: number): ReturnType<typeof createSecretKey> {
  return createSecretKey(Buffer.from(key.backingKeys[index] ?? '', 'base64'));
}

function additionalData(key: EmulatedKey, header: Buffer, context: EncryptionContext): Buffer {
  const pairs = Object.entries(context).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([keyArn(key), header.toString('hex'), pairs]))
    .digest();
}

function invalid(): KmsApiError {
  return new KmsApiError('InvalidCiphertextException', 'The ciphertext is invalid.');
}
