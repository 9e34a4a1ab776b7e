/**
 * Matches characters beyond Latin-1. The test costs nothing for a Latin-1 string, because V8 knows that it contains no
 * such characters.
 */
const BEYOND_LATIN_1 = /[\u0100-\uffff]/;

/**
 * Decodes standard base64 (RFC 4648, section 4), strictly: with padding, without white space, and with zero in the
 * unused bits of the last character.
 *
 * Node's decoder is lenient, so this function checks its result. Node skips unknown characters, and then returns fewer
 * bytes than the length of the text implies. It accepts the base64url alphabet, uses only the lower eight bits of a
 * character beyond Latin-1, and ignores the unused bits. Encoding the result again and comparing it would take twice as
 * long.
 * @returns the bytes, whose buffer belongs to the caller. Undefined if the text is not strict base64.
 */
export function decodeBase64(text: string): Buffer | undefined {
  if (text.length % 4 !== 0 || text.includes('-') || text.includes('_')) return undefined;
  if (BEYOND_LATIN_1.test(text)) return undefined;
  const padding = text.endsWith('==') ? 2 : Number(text.endsWith('='));
  return decodeExactly(text, 'base64', (text.length / 4) * 3 - padding);
}

/**
 * Decodes unpadded base64url (RFC 4648, section 5), as strictly as {@link decodeBase64}.
 * @returns the bytes, whose buffer belongs to the caller. Undefined if the text is not strict base64url.
 */
export function decodeBase64Url(text: string): Buffer | undefined {
  if (text.includes('+') || text.includes('/')) return undefined;
  if (text.length % 4 === 1 || BEYOND_LATIN_1.test(text)) return undefined;
  return decodeExactly(text, 'base64url', Math.floor((text.length * 3) / 4));
}

/**
 * Decodes a base64 string, which must decode to the given number of bytes. The unused bits of its last character must
 * be zero.
 */
function decodeExactly(text: string, alphabet: 'base64' | 'base64url', sizeBytes: number): Buffer | undefined {
  const bytes = Buffer.from(text, alphabet);
  if (bytes.length !== sizeBytes) return undefined;
  // Only a last group of fewer than three bytes has unused bits.
  const lastGroupAt = bytes.length - (bytes.length % 3);
  return text.endsWith(bytes.toString(alphabet, lastGroupAt)) ? bytes : undefined;
}
