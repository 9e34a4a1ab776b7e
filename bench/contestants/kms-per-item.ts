import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import type { Contestant } from './contestant.ts';

const REGION = 'us-west-2';
const AUTH_TAG = { authTagLength: 16 };

/**
 * Envelope encryption without a key hierarchy: each item is sealed with its own data key from KMS. KMS is the emulator,
 * in another process on this machine. A real KMS would add a few milliseconds of network latency.
 */
export async function kmsPerItem(): Promise<Contestant<string>> {
  const emulator = fork(join(import.meta.dirname, 'kms-worker.ts'), [REGION]);
  const [{ endpoint, keyArn }] = (await once(emulator, 'message')) as [{ endpoint: string; keyArn: string }];
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const kms = new KMSClient({ region: REGION, endpoint, credentials });

  const encrypt = async (plaintext: Buffer): Promise<string> => {
    const { Plaintext, CiphertextBlob } = await kms.send(
      new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: 'AES_256' }),
    );
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', createSecretKey(Plaintext as Uint8Array), nonce, AUTH_TAG);
    const data = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag(), nonce]);
    const key = Buffer.from(CiphertextBlob as Uint8Array).toString('base64');
    return `{"key":"${key}","data":"${data.toString('base64')}"}`;
  };
  const decrypt = async (text: string): Promise<Buffer> => {
    const record = JSON.parse(text) as { key: string; data: string };
    const { Plaintext } = await kms.send(
      new DecryptCommand({ KeyId: keyArn, CiphertextBlob: Buffer.from(record.key, 'base64') }),
    );
    const data = Buffer.from(record.data, 'base64');
    const end = data.length - 28;
    const key = createSecretKey(Plaintext as Uint8Array);
    const decipher = createDecipheriv('aes-256-gcm', key, data.subarray(end + 16), AUTH_TAG);
    decipher.setAuthTag(data.subarray(end, end + 16));
    return Buffer.concat([decipher.update(data.subarray(0, end)), decipher.final()]);
  };
  return { encrypt, decrypt };
}
