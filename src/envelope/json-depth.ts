/**
 * How deep JSON from outside may be nested. `JSON.parse` takes any depth, but `JSON.stringify` and revivers call themselves for
 * each level: they run out of stack at a few thousand.
 */
export const MAX_JSON_DEPTH = 100;

const OPENING_QUOTE_OR_BRACKET = /["[\]{}]/g;

/**
 * Whether a JSON text is nested deeper than that, in one pass over the text without recursion.
 * @param text one whose syntax `JSON.parse` checks, before or after: of any other text the answer means nothing
 */
export function isNestedTooDeeply(text: string): boolean {
  let depth = 0;
  OPENING_QUOTE_OR_BRACKET.lastIndex = 0;
  for (let found = OPENING_QUOTE_OR_BRACKET.exec(text); found !== null; found = OPENING_QUOTE_OR_BRACKET.exec(text)) {
    const [character] = found;
    if (character === '"') OPENING_QUOTE_OR_BRACKET.lastIndex = endOfString(text, found.index);
    else depth += character === '[' || character === '{' ? 1 : -1;
    if (depth > MAX_JSON_DEPTH) return true;
  }
  return false;
}

/**
 * The place behind the quotation mark that ends a string: the first one that an even number of backslashes precedes. It is the
 * text's end if there is none.
 * @param start the place of the quotation mark that begins the string
 */
export function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return at + 1;
  }
  return text.length;
}
