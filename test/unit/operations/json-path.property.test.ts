import fc from 'fast-check';
import { compile as peer, jsonpath } from 'json-p3';
import { describe, expect, it } from 'vitest';
import { JsonPathError, parseJsonPath } from '../../../src/operations/json-path.ts';

const PEER = jsonpath.selectors;
const blank = fc.constantFrom('', '', '', ' ', '\t', '\n', '\r ');
const integer = fc.oneof(
  fc.integer({ min: -20, max: 20 }).map(String),
  fc.constantFrom('-0', '00', '01', '-01', '9007199254740991', '-9007199254740991', '9007199254740992', '1e2'),
);
const slice = fc
  .tuple(fc.option(integer), blank, fc.option(integer), blank, fc.option(fc.option(integer)), blank)
  .map(([start, s, end, t, step, u]) => {
    const third = step === null ? '' : `:${u}${step ?? ''}`;
    return `${start ?? ''}${start === null ? '' : s}:${t}${end ?? ''}${s}${third}`;
  });
const ESCAPES = String.raw`\b \n \/ \\ \' \" \x \u0061 \u00E9 \uD83D\uDD11 \ud83d\udd11
  \ud83d \udd11 \u12 \U0061 \u{61} \uD83D\u0061 \uDD11\uD83D`.split(/\s+/);
const character = fc.oneof(
  fc.constantFrom('a', ' ', "'", '"', '\\', '/', '.', '[', '?', '\u0000', '\u001f', '\u007f', 'é', '\u{1f511}'),
  fc.constantFrom(...ESCAPES),
);
const quoted = fc
  .tuple(fc.constantFrom("'", '"'), fc.array(character, { maxLength: 4 }))
  .map(([quote, characters]) => `${quote}${characters.join('')}${quote}`);
const shorthand = fc.oneof(
  fc.constantFrom('a', '_', 'a1', '1a', 'é', '\u{1f511}b', 'a-b', '*', 'true', 'length(@)'),
  fc.string({ unit: 'binary', maxLength: 3 }).filter((text) => text.isWellFormed()),
);
const selector = fc.oneof(quoted, integer, slice, fc.constant('*'));
const bracketed = fc
  .tuple(fc.array(fc.tuple(blank, selector, blank), { minLength: 1, maxLength: 3 }))
  .map(([selectors]) => `[${selectors.map((parts) => parts.join('')).join(',')}]`);
const segment = fc
  .tuple(blank, fc.oneof(bracketed, fc.tuple(fc.constantFrom('.', '..'), fc.oneof(shorthand, bracketed))))
  .map(([space, parts]) => space + (typeof parts === 'string' ? parts : parts.join('')));
const path = fc.array(segment, { maxLength: 4 }).map((segments) => `$${segments.join('')}`);

const EDITS = ['$', '.', '[', ']', '*', ':', ',', '-', "'", '"', '\\', '0', 'u', ' ', 'a', '\n'];

/** Paths in which a few characters are removed, inserted or replaced. */
const mutated = fc
  .tuple(path, fc.array(fc.tuple(fc.nat(), fc.nat({ max: 1 }), fc.constantFrom('', ...EDITS)), { maxLength: 3 }))
  .map(([text, edits]) =>
    edits.reduce((edited, [place, taken, put]) => {
      const at = place % (edited.length + 1);
      return edited.slice(0, at) + put + edited.slice(at + taken);
    }, text),
  );

function isAccepted(text: string): boolean {
  try {
    parseJsonPath(text);
    return true;
  } catch (error) {
    if (error instanceof JsonPathError) return false;
    throw error;
  }
}

function isAcceptedByPeer(text: string): boolean {
  try {
    peer(text);
    return true;
  } catch {
    return false;
  }
}

/** Parses a path with the other implementation, and converts the result to Keyfold's segments. */
function peerReading(text: string): unknown[] {
  return peer(text).segments.map((step) => ({
    descends: step.toString().startsWith('..'),
    selectors: step.selectors.map((one) => {
      if (one instanceof PEER.NameSelector) return { kind: 'name', name: one.name };
      if (one instanceof PEER.IndexSelector) return { kind: 'index', index: one.index };
      if (one instanceof PEER.SliceSelector) {
        return { kind: 'slice', start: one.start, end: one.stop, step: one.step ?? 1 };
      }
      return { kind: 'wildcard' };
    }),
  }));
}

/**
 * Whether the other implementation deviates from RFC 9535 here. It accepts hyphens in names, a slice without the colon
 * before its step, and lone surrogates. It refuses escaped control characters.
 */
function departsFromTheRfc(text: string): boolean {
  return /\.[^.[\]'"\s]*-|:\s*-?\d+(?:\s+-?|-)\d|\\u00[01]/.test(text) || !text.isWellFormed();
}

describe('parseJsonPath on generated texts without filters', () => {
  it('accepts the texts that another implementation accepts, and parses them to the same segments', () => {
    let accepted = 0;
    fc.assert(
      fc.property(mutated, (text) => {
        const isPath = isAccepted(text);
        fc.pre(!departsFromTheRfc(text));
        expect(isPath).toBe(isAcceptedByPeer(text));
        if (!isPath) return;
        accepted += 1;
        expect(parseJsonPath(text)).toEqual(peerReading(text));
      }),
      { numRuns: 5000 },
    );
    // Enough of the 5,000 strings must be accepted, and enough refused, so that both outcomes are compared.
    expect(accepted).toBeGreaterThan(100);
    expect(accepted).toBeLessThan(4500);
  });
});
