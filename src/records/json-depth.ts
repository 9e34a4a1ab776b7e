import { KeyfoldError } from '../errors.ts';

/**
 * The maximum depth of JSON from a caller. `JSON.parse` accepts any depth, but `JSON.stringify` and revivers recurse
 * and exhaust the stack at a few thousand levels. Deep values also make the garbage collector slow.
 */
export const MAX_JSON_DEPTH = 100;

const [QUOTE, OPENING_BRACKET, CLOSING_BRACKET, OPENING_BRACE, CLOSING_BRACE] = [0x22, 0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Parses JSON like `JSON.parse`, but first checks the depth of a request.
 * @throws KeyfoldError `InvalidRequest` if the text is nested too deeply
 * @throws SyntaxError if the text is not JSON. Do not log this error: it quotes the text.
 */
export function parseRequestJson(text: string): unknown {
  if (isNestedTooDeeply(text)) {
    throw new KeyfoldError('InvalidRequest', `The request is nested deeper than ${MAX_JSON_DEPTH}.`);
  }
  return JSON.parse(text);
}

/**
 * Whether a JSON text is nested deeper than {@link MAX_JSON_DEPTH}. It reads the text once, without recursion.
 * @param text JSON text. For any other text the result is meaningless, so `JSON.parse` must check the syntax before or
 * after.
 */
export function isNestedTooDeeply(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (code === OPENING_BRACKET || code === OPENING_BRACE) depth += 1;
    else if (code === CLOSING_BRACKET || code === CLOSING_BRACE) depth -= 1;
    if (depth > MAX_JSON_DEPTH) return true;
  }
  return false;
}

/**
 * The position after the closing quotation mark of a string, or the end of the text if the string is not closed. The
 * closing quotation mark is the first quotation mark after an even number of backslashes.
 * @param start the position of the opening quotation mark
 */
export function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return at + 1;
  }
  return text.length;
}
