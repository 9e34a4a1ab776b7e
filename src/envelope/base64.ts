/**
 * Decodes standard base64 (RFC 4648, section 4) and nothing else: padded, no white space, the unused bits of the last
 * character zero. Node's own decoder skips what it does not know, so two texts could name the same bytes.
 * @returns the bytes, which are the caller's; undefined where the text is anything else
 */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}
