/**
 * Matches characters that a terminal acts upon or does not show: control and format characters (including bidirectional
 * ones), line separators, lone surrogates, and all other characters that Unicode lets a terminal ignore.
 */
export const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** Matches a character that is not printable ASCII. Few texts have one. This search is faster than {@link HIDDEN}. */
const UNCOMMON = /[^ -~]/;

/**
 * Replaces each hidden character of a string with `\uXXXX`. A partition may contain escapes, line feeds or
 * bidirectional overrides, which must not reach a log or a terminal. If the string is JSON without indentation, its
 * value stays the same.
 */
export function escapeHidden(text: string): string {
  return UNCOMMON.test(text) ? text.replace(HIDDEN, escapeUnits) : text;
}

function escapeUnits(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
