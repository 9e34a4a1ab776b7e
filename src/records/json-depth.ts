import { KeyfoldError } from '../errors.ts';

/**
 * How deep JSON from outside may be nested. `JSON.parse` takes any depth, but `JSON.stringify` and revivers call themselves for
 * each level: they run out of stack at a few thousand. Collecting the garbage of deep values is slow, too.
 */
export const MAX_JSON_DEPTH = 100;

const [QUOTE, OPENING_BRACKET, CLOSING_BRACKET, OPENING_BRACE, CLOSING_BRACE] = [0x22, 0x5b, 0x5d, 0x7b, 0x7d];

/**
 * `JSON.parse` of a request's text, which is bounded in depth before it is parsed.
 * @throws KeyfoldError `InvalidRequest` for a text that is nested too deeply
 * @throws SyntaxError for a text that is not JSON, which it quotes
 */
export function parseRequestJson(text: string): unknown {
  if (isNestedTooDeeply(text)) {
    throw new KeyfoldError('InvalidRequest', `The request is nested deeper than ${MAX_JSON_DEPTH}.`);
  }
  return JSON.parse(text);
}

/**
 * Whether a JSON text is nested deeper than {@link MAX_JSON_DEPTH}, in one pass over the text without recursion.
 * @param text one whose syntax `JSON.parse` checks, before or after: of any other text the answer means nothing
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
