/** Costs nothing: V8 keeps no such character in a string that is all Latin-1, and does not look for one. */
const BEYOND_LATIN_1 = /[\u0100-\uffff]/;

/**
 * Decodes standard base64 (RFC 4648, section 4) and nothing else: padded, no white space, the unused bits of the last
 * character zero. Node's own decoder skips what it does not know, and so gives fewer bytes than the text is long for; takes the
 * alphabet of base64url too; takes a character beyond Latin-1 for the one with its lower eight bits; and does not look at the
 * unused bits. Encoding all again to compare would take twice as long.
 * @returns the bytes, which are the caller's; undefined where the text is anything else
 */
export function decodeBase64(text: string): Buffer | undefined {
  if (text.length % 4 !== 0 || text.includes('-') || text.includes('_')) return undefined;
  if (BEYOND_LATIN_1.test(text)) return undefined;
  const padding = text.endsWith('==') ? 2 : Number(text.endsWith('='));
  return decodeExactly(text, 'base64', (text.length / 4) * 3 - padding);
}

/**
 * Decodes unpadded base64url (RFC 4648, section 5) and nothing else, as {@link decodeBase64} does its alphabet.
 * @returns the bytes, which are the caller's; undefined where the text is anything else
 */
export function decodeBase64Url(text: string): Buffer | undefined {
  if (text.includes('+') || text.includes('/') || text.includes('=')) return undefined;
  if (text.length % 4 === 1 || BEYOND_LATIN_1.test(text)) return undefined;
  return decodeExactly(text, 'base64url', Math.floor((text.length * 3) / 4));
}

/** The bytes of text in an alphabet, if they are so many and the bits that the last character does not need are zero. */
function decodeExactly(text: string, alphabet: 'base64' | 'base64url', sizeBytes: number): Buffer | undefined {
  const bytes = Buffer.from(text, alphabet);
  if (bytes.length !== sizeBytes) return undefined;
  // In the last group alone there may be unused bits.
  const lastGroupAt = bytes.length - (bytes.length % 3 || 3);
  return text.endsWith(bytes.toString(alphabet, lastGroupAt)) ? bytes : undefined;
}
