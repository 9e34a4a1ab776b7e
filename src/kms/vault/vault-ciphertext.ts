import { viewOf } from '../../input/checks.ts';

/** Matches a transit ciphertext, and captures the version of its key. */
const CIPHERTEXT = /^vault:v([1-9]\d{0,8}):[A-Za-z0-9+/]+={0,2}$/;
/** The ciphertext of a System Key has only about 90 characters. */
const MAX_CIPHERTEXT_LENGTH = 1024;
/**
 * The length of an RSA ciphertext in bytes, for each key size that Vault offers. A System Key that is wrapped with a
 * symmetric key has at most 72 bytes.
 */
const RSA_BYTES: ReadonlySet<number> = new Set([256, 384, 512]);

/** The text of a transit ciphertext. Undefined if the bytes are not a transit ciphertext. */
export function ciphertextOf(bytes: Uint8Array): string | undefined {
  const text = viewOf(bytes).toString('latin1', 0, MAX_CIPHERTEXT_LENGTH + 1);
  return isCiphertext(text) ? text : undefined;
}

export function isCiphertext(text: unknown): text is string {
  return typeof text === 'string' && text.length <= MAX_CIPHERTEXT_LENGTH && CIPHERTEXT.test(text);
}

/**
 * Whether an RSA key has made a ciphertext. `VaultKms` accepts no such ciphertext, because anyone who has the public
 * key can make one. With access to the table, they could plant a System Key that they know.
 */
export function isOfRsa(ciphertext: string): boolean {
  return RSA_BYTES.has(Buffer.byteLength(ciphertext.slice(ciphertext.lastIndexOf(':') + 1), 'base64'));
}

/** The version of the transit key that made a ciphertext. */
export function keyVersionOf(ciphertext: string): string {
  return CIPHERTEXT.exec(ciphertext)?.[1] ?? '';
}
