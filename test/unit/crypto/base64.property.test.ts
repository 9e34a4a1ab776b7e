import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase64, decodeBase64Url } from '../../../src/crypto/base64.ts';

/** Base64 with a short string inserted. The result is often invalid. */
const nearly = fc
  .tuple(fc.base64String(), fc.constantFrom('', '=', '==', '-', '_', ' ', '\n', 'é', 'Ł', 'ĭAAA', 'A', 'AB'), fc.nat())
  .map(([text, extra, at]) => text.slice(0, at % (text.length + 1)) + extra + text.slice(at % (text.length + 1)));

function ofUrls(text: string): string {
  return text.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

describe('base64 decoding', () => {
  it('accepts all strings that the base64 encoder produces, and no others', () => {
    fc.assert(
      fc.property(fc.oneof(nearly, fc.base64String(), fc.string()), (text) => {
        const bytes = Buffer.from(text, 'base64');
        expect(decodeBase64(text)).toEqual(bytes.toString('base64') === text ? bytes : undefined);
      }),
      { numRuns: 5000 },
    );
  });

  it('accepts all strings that the base64url encoder produces, and no others', () => {
    const strangely = fc
      .tuple(nearly.map(ofUrls), fc.constantFrom('', '+', '/', '=', 'A'))
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(nearly, nearly.map(ofUrls), strangely, fc.string()), (text) => {
        const bytes = Buffer.from(text, 'base64url');
        expect(decodeBase64Url(text)).toEqual(bytes.toString('base64url') === text ? bytes : undefined);
      }),
      { numRuns: 5000 },
    );
  });
});
