/**
 * What a terminal does not show as itself: control and format characters (bidirectional ones among them), line separators, halves
 * of surrogate pairs, and all else that Unicode lets a terminal leave out.
 */
export const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

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
