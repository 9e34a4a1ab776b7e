import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase64 } from '../../src/envelope/base64.ts';

/** Text that is nearly base64. */
const nearly = fc
  .tuple(fc.base64String(), fc.constantFrom('', '=', '==', '-', '_', ' ', '\n', 'é', 'Ł', 'ĭAAA', 'A', 'AB'), fc.nat())
  .map(([text, extra, at]) => text.slice(0, at % (text.length + 1)) + extra + text.slice(at % (text.length + 1)));

describe('base64', () => {
  it('is decoded just where encoding the bytes gives the text again', () => {
    fc.assert(
      fc.property(fc.oneof(nearly, fc.base64String(), fc.string()), (text) => {
        const bytes = Buffer.from(text, 'base64');
        expect(decodeBase64(text)).toEqual(bytes.toString('base64') === text ? bytes : undefined);
      }),
      { numRuns: 5000 },
    );
  });
});
