/** The element with this id. @throws Error if the page has none, which is a bug in the page */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`The page has no #${id}.`);
  return element;
}

/**
 * Creates an element. Strings become text nodes, so data can never become markup.
 * Properties become attributes, and properties that begin with `on` become listeners.
 * A property or child that is `undefined` or `false` is omitted.
 */
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== false));
  return element;
}

/** Formats a number with its noun, such as `3 calls` or `1 call`. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** Formats a time, given in seconds since 1970, for display. */
export function timeOf(seconds) {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? `${seconds} s` : date.toISOString().replace('T', ' ').replace('.000Z', ' UTC');
}
