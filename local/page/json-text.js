/**
 * JSON as text: JavaScript's own numbers would lose the digits of a long one, so a document goes out as it was typed and is
 * shown as it came.
 */

/**
 * A request's body with a member whose text goes in as it is.
 * @throws SyntaxError where that text is no JSON
 */
export function bodyWith(name, text, members = {}) {
  JSON.parse(text);
  const others = JSON.stringify(members).slice(1, -1);
  return `{${JSON.stringify(name)}:${text}${others === '' ? '' : `,${others}`}}`;
}

/** The text of the first member of an answer, which has that name; undefined where it does not. */
export function memberOf(answer, name) {
  const start = `{${JSON.stringify(name)}:`;
  if (!answer.startsWith(start)) return undefined;
  const end = endOfValue(answer, start.length);
  return answer.slice(start.length, end);
}

/** Where the value ends that begins there. */
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

/** Where the closing quotation mark is of the string that opens there. */
function endOfString(text, start) {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i;
}

/** The text with line breaks for a reader; as it is where JavaScript would write it in another way, which may lose digits. */
export function readable(text) {
  const value = JSON.parse(text);
  return JSON.stringify(value) === text ? JSON.stringify(value, undefined, 2) : text;
}

/** The compact records among the strings of a document, in their order, each with the name of its member where it is one. */
export function compactRecordsOf(text) {
  const found = text.matchAll(/(?:("(?:[^"\\]|\\.)*")\s*:\s*)?"(kf1j?\.[\w-]+)"/g);
  return [...found].map(([, name, record]) => ({ name: name && JSON.parse(name), record }));
}
