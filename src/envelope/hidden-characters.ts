/** Controls, format characters and separators: a terminal acts upon them, or shows nothing. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * A text with `\uXXXX` in the place of each character that a terminal would act upon or not show, such as an escape, a line
 * feed or a bidirectional override. A partition may hold any of them. A JSON text without indentation keeps its value.
 */
export function escapeHidden(text: string): string {
  return text.replace(HIDDEN, escapeUnits);
}

function escapeUnits(character: string): string {
  const units = Array.from({ length: character.length }, (_, at) => character.charCodeAt(at));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}
