import { viewOf } from '../../input/checks.ts';

/** Matches a transit ciphertext, and captures the version of its key. */
const CIPHERTEXT = /^vault:v([1-9]\d{0,8}):[A-Za-z0-9+/]+={0,2}$/;
/** The ciphertext of a System Key has only about 90 characters. */
const MAX_CIPHERTEXT_LENGTH = 1024;

/** The text of a transit ciphertext. Undefined if the bytes are not a transit ciphertext. */
export function ciphertextOf(bytes: Uint8Array): string | undefined {
  const text = viewOf(bytes).toString('latin1', 0, MAX_CIPHERTEXT_LENGTH + 1);
  return isCiphertext(text) ? text : undefined;
}

export function isCiphertext(text: unknown): text is string {
  return typeof text === 'string' && text.length <= MAX_CIPHERTEXT_LENGTH && CIPHERTEXT.test(text);
}

/** The version of the transit key that made a ciphertext. */
export function keyVersionOf(ciphertext: string): string {
  return CIPHERTEXT.exec(ciphertext)?.[1] ?? '';
}
