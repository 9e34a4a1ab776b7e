/**
 * Handles JSON as text, because JavaScript would drop digits of long numbers and repeated names. The page sends a
 * document and a context as the user typed them, and shows a document as the API returned it.
 */

/**
 * Makes a request body.
 * @param texts members as JSON text, which the body contains unchanged
 * @param members other members, as values
 * @throws SyntaxError if one of the texts is not JSON
 */
export function bodyWith(texts, members = {}) {
  for (const text of Object.values(texts)) JSON.parse(text);
  const others = Object.entries(members).map(([name, member]) => [name, JSON.stringify(member)]);
  const all = [...Object.entries(texts), ...others].map(([name, text]) => `${JSON.stringify(name)}:${text}`);
  return `{${all.join(',')}}`;
}

/** The JSON text of a response's first member. Undefined if that member is not called `name`. */
export function memberOf(answer, name) {
  const start = `{${JSON.stringify(name)}:`;
  if (!answer.startsWith(start)) return undefined;
  const end = endOfValue(answer, start.length);
  return answer.slice(start.length, end);
}

/** The index after the JSON value that begins at an index. */
function endOfValue(text, start) {
  let depth = 0;
  for (let i = start; i < text.length; i += 1) {
    const character = text[i];
    if (character === '"') i = endOfString(text, i);
    else if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') depth -= 1;
    if (depth < 0 || (depth === 0 && character === ',')) return i;
  }
  return text.length;
}

/** Finds the quotation mark that ends a string. `start` is the index of the one that begins it. */
function endOfString(text, start) {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i;
}

/** Formats JSON with line breaks. Returns the text unchanged if JavaScript would write a number in another way. */
export function readable(text) {
  const value = JSON.parse(text);
  return JSON.stringify(value) === text ? JSON.stringify(value, undefined, 2) : text;
}

/**
 * Finds the compact records in a document, in order. A record that is the value of a member is listed with the member's
 * name.
 */
export function compactRecordsOf(text) {
  const found = text.matchAll(/(?:("(?:[^"\\]|\\.)*")\s*:\s*)?"(kf[12]j?\.[\w-]+)"/g);
  return [...found].map(([, name, record]) => ({ name: name && JSON.parse(name), record }));
}
