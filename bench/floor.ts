/**
 * The least that a record can cost in Node: two GCM operations with KeyObjects, strict base64, JSON text, and nothing
 * else. No cache, no ids, no policy, no errors worth the name.
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomFillSync, type KeyObject } from 'node:crypto';

const POOL_BYTES = 4096;
const pool = Buffer.allocUnsafeSlow(POOL_BYTES);
let used = POOL_BYTES;

function random(target: Buffer, offset: number, length: number): void {
  if (used + length > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  pool.copy(target, offset, used, used + length);
  pool.fill(0, used, used + length);
  used += length;
}

function seal(key: KeyObject, plaintext: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(plaintext.length + 28);
  random(out, plaintext.length + 16, 12);
  const cipher = createCipheriv('aes-256-gcm', key, out.subarray(plaintext.length + 16), { authTagLength: 16 });
  out.set(cipher.update(plaintext), 0);
  cipher.final();
  out.set(cipher.getAuthTag(), plaintext.length);
  return out;
}

function open(key: KeyObject, sealed: Buffer): Buffer {
  const end = sealed.length - 28;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(end + 16), { authTagLength: 16 });
  decipher.setAuthTag(sealed.subarray(end, end + 16));
  const plaintext = decipher.update(sealed.subarray(0, end));
  decipher.final();
  return plaintext;
}

function strictBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw new Error('not base64');
  return bytes;
}

/** Seals a payload and writes its record. */
export function floorEncrypt(parent: KeyObject, plaintext: Uint8Array): string {
  const bytes = Buffer.allocUnsafeSlow(32);
  random(bytes, 0, 32);
  const data = seal(createSecretKey(bytes), plaintext);
  const key = seal(parent, bytes);
  bytes.fill(0);
  const created = Math.floor(Date.now() / 1000);
  return `{"Key":{"Created":${created},"Key":"${key.toString('base64')}","ParentKeyMeta":{"KeyId":"_IK_p_s_p","Created":${created}}},"Data":"${data.toString('base64')}"}`;
}

/** Reads a record and opens it. */
export function floorDecrypt(parent: KeyObject, text: string): Buffer {
  const record = JSON.parse(text) as { Key: { Key: string }; Data: string };
  const bytes = open(parent, strictBase64(record.Key.Key));
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return open(key, strictBase64(record.Data));
}
