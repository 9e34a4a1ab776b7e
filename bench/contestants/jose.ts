import { randomBytes, webcrypto } from 'node:crypto';
import type { Contestant } from './contestant.ts';

/** The part of jose 6 that is used here. */
export interface Jose {
  readonly CompactEncrypt: new (plaintext: Uint8Array) => {
    setProtectedHeader(header: object): { encrypt(key: webcrypto.CryptoKey): Promise<string> };
  };
  compactDecrypt(jwe: string, key: webcrypto.CryptoKey): Promise<{ plaintext: Uint8Array }>;
}

/** Jose: compact JWE, a content key for each record wrapped under one key that has been imported once. */
export async function jose(library: Jose): Promise<Contestant<string>> {
  const key = await webcrypto.subtle.importKey('raw', randomBytes(32), 'AES-GCM', false, ['encrypt', 'decrypt']);
  const header = { alg: 'A256GCMKW', enc: 'A256GCM' };
  return {
    encrypt: (plaintext) => new library.CompactEncrypt(plaintext).setProtectedHeader(header).encrypt(key),
    decrypt: async (jwe) => (await library.compactDecrypt(jwe, key)).plaintext,
  };
}
