/**
 * The minimum cost of a record in Node: two GCM operations with KeyObjects, strict base64 and JSON. The floor has no
 * cache, no IDs, no policy and no detailed errors.
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomFillSync, type KeyObject } from 'node:crypto';

const CIPHER = 'aes-256-gcm';
const TAG_LENGTH = { authTagLength: 16 };
const DATA_PREFIX = ',"Data":"';
const POOL_BYTES = 4096;
const BEYOND_LATIN_1 = /[\u0100-\uffff]/;

const pool = Buffer.allocUnsafeSlow(POOL_BYTES);
const nonce = Buffer.allocUnsafeSlow(12);
const fresh = Buffer.allocUnsafeSlow(32);
let used = POOL_BYTES;

function random(target: Buffer): void {
  const end = used + target.length;
  if (end > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
    random(target);
    return;
  }
  pool.copy(target, 0, used, end);
  pool.fill(0, used, end);
  used = end;
}

function freeNow({ buffer, length }: Buffer): void {
  if (length >= 256 && length === buffer.byteLength) (buffer as ArrayBuffer).transfer(0);
}

function seal(key: KeyObject, plaintext: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(plaintext.length + 28);
  random(nonce);
  const cipher = createCipheriv(CIPHER, key, nonce, TAG_LENGTH);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  out.set(ciphertext, 0);
  freeNow(ciphertext);
  out.set(cipher.getAuthTag(), plaintext.length);
  out.set(nonce, plaintext.length + 16);
  return out;
}

function open(key: KeyObject, sealed: Buffer): Buffer {
  const end = sealed.length - 28;
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(end + 16), TAG_LENGTH);
  decipher.setAuthTag(sealed.subarray(end, end + 16));
  const plaintext = decipher.update(sealed.subarray(0, end));
  decipher.final();
  return plaintext;
}

/**
 * Decodes strict base64, as src/crypto/base64.ts does. Node's decoder accepts invalid input, so this function also
 * checks the length and the last four characters.
 */
function strictBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  const padding = text.endsWith('==') ? 2 : Number(text.endsWith('='));
  if (
    text.length % 4 !== 0 ||
    text.includes('-') ||
    text.includes('_') ||
    BEYOND_LATIN_1.test(text) ||
    bytes.length !== (text.length / 4) * 3 - padding ||
    bytes.toString('base64', bytes.length - (bytes.length % 3 || 3)) !== text.slice(-4)
  ) {
    throw new Error('not base64');
  }
  return bytes;
}

/** Seals a payload and writes its record. */
export function floorEncrypt(parent: KeyObject, plaintext: Uint8Array): string {
  random(fresh);
  const data = seal(createSecretKey(fresh), plaintext);
  const key = seal(parent, fresh);
  fresh.fill(0);
  const created = Math.floor(Date.now() / 1000);
  const text = `{"Key":{"Created":${created},"Key":"${key.toString('base64')}","ParentKeyMeta":{"KeyId":"_IK_p_s_p","Created":${created}}},"Data":"${data.toString('base64')}"}`;
  freeNow(data);
  return text;
}

/** Opens a record that {@link floorEncrypt} wrote. It parses only the JSON before the payload. */
export function floorDecrypt(parent: KeyObject, text: string): Buffer {
  const at = text.indexOf(DATA_PREFIX);
  const record = JSON.parse(`${text.slice(0, at)}}`) as { Key: { Key: string } };
  const bytes = open(parent, strictBase64(record.Key.Key));
  const key = createSecretKey(bytes);
  bytes.fill(0);
  const data = strictBase64(text.slice(at + DATA_PREFIX.length, -2));
  const plaintext = open(key, data);
  freeNow(data);
  return plaintext;
}
