import { randomBytes, webcrypto } from 'node:crypto';
import type { Contestant } from './contestant.ts';

/** The types of the functions of jose 6 that this file calls. */
export interface Jose {
  readonly CompactEncrypt: new (plaintext: Uint8Array) => {
    setProtectedHeader(header: object): { encrypt(key: webcrypto.CryptoKey): Promise<string> };
  };
  compactDecrypt(jwe: string, key: webcrypto.CryptoKey): Promise<{ plaintext: Uint8Array }>;
}

/**
 * Jose with compact JWE. Each record has its own content key. A single key, which is imported once, wraps all content
 * keys.
 */
export async function jose(library: Jose): Promise<Contestant<string>> {
  const key = await webcrypto.subtle.importKey('raw', randomBytes(32), 'AES-GCM', false, ['encrypt', 'decrypt']);
  const header = { alg: 'A256GCMKW', enc: 'A256GCM' };
  return {
    encrypt: (plaintext) => new library.CompactEncrypt(plaintext).setProtectedHeader(header).encrypt(key),
    decrypt: async (jwe) => (await library.compactDecrypt(jwe, key)).plaintext,
  };
}
