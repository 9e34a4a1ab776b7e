/** A selector: chooses children of a value (RFC 9535, section 2.3). */
export type Selector =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'index'; readonly index: number }
  | Slice
  | { readonly kind: 'wildcard' };

/** A slice of an array. The default of an undefined bound depends on the sign of `step`. */
export interface Slice {
  readonly kind: 'slice';
  readonly start: number | undefined;
  readonly end: number | undefined;
  readonly step: number;
}

/**
 * A segment of a path. It applies its selectors to each value reached so far and, if `descends`, to all descendants.
 */
export interface Segment {
  readonly descends: boolean;
  readonly selectors: readonly Selector[];
}

/** The longest path, in UTF-16 code units. */
export const MAX_PATH_LENGTH = 1000;
/** The maximum number of selectors in a path, over all its segments. */
const MAX_PATH_SELECTORS = 200;

/**
 * The error for a string that is not a supported path. The message completes a sentence that begins with the name of
 * the path. It never quotes the path.
 */
export class JsonPathError extends Error {
  override readonly name = 'JsonPathError';
}

/**
 * Parses a JSONPath (RFC 9535) without filters. It reads each character once, so the time is linear in the path's
 * length.
 * @throws JsonPathError if the string is not a JSONPath, is too long or has a filter
 * @example parseJsonPath('$.items[*].card') // three segments
 */
export function parseJsonPath(text: string): Segment[] {
  if (text.length > MAX_PATH_LENGTH) throw new JsonPathError(`is longer than ${MAX_PATH_LENGTH} characters`);
  return new PathParser(text).query();
}

const WILDCARD: Selector = { kind: 'wildcard' };
const ESCAPED: ReadonlyMap<string, string> = new Map([
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['/', '/'],
  ['\\', '\\'],
]);
const HEX_DIGITS = 4;

/**
 * A parser with one method per grammar rule. No method is recursive, because the grammar without filters has no
 * nesting.
 */
class PathParser {
  readonly #text: string;
  #at = 0;
  #selectors = 0;

  constructor(text: string) {
    this.#text = text;
  }

  query(): Segment[] {
    if (!this.#take('$')) throw this.#expected('$');
    const segments: Segment[] = [];
    while (this.#at < this.#text.length) {
      this.#skipBlanks();
      segments.push(this.#segment());
    }
    return segments;
  }

  #segment(): Segment {
    if (this.#take('[')) return { descends: false, selectors: this.#bracketed() };
    if (!this.#take('.')) throw this.#expected('. or [');
    const descends = this.#take('.');
    if (descends && this.#take('[')) return { descends, selectors: this.#bracketed() };
    return { descends, selectors: [this.#counted(this.#take('*') ? WILDCARD : this.#shorthand())] };
  }

  #bracketed(): Selector[] {
    const selectors: Selector[] = [];
    do {
      this.#skipBlanks();
      selectors.push(this.#counted(this.#selector()));
      this.#skipBlanks();
    } while (this.#take(','));
    if (!this.#take(']')) throw this.#expected(', or ]');
    return selectors;
  }

  #selector(): Selector {
    const next = this.#peek();
    if (next === '"' || next === "'") return { kind: 'name', name: this.#quoted(next) };
    if (next === '?') throw new JsonPathError(`has a filter at ${this.#here()}: filters are not supported`);
    return this.#take('*') ? WILDCARD : this.#indexOrSlice();
  }

  #indexOrSlice(): Selector {
    const start = this.#integer();
    if (start === undefined && this.#peek() !== ':') throw this.#expected('a name in quotes, a number, : or *');
    this.#skipBlanks();
    if (start !== undefined && this.#peek() !== ':') return { kind: 'index', index: start };
    this.#at += 1;
    this.#skipBlanks();
    const end = this.#integer();
    this.#skipBlanks();
    if (!this.#take(':')) return { kind: 'slice', start, end, step: 1 };
    this.#skipBlanks();
    return { kind: 'slice', start, end, step: this.#integer() ?? 1 };
  }

  /**
   * Reads an integer. Section 2.1 limits it to ±(2^53 - 1). Returns undefined if the next character cannot begin an
   * integer.
   */
  #integer(): number | undefined {
    const from = this.#at;
    const isNegative = this.#take('-');
    const digitsFrom = this.#at;
    while (isDigit(this.#peek())) this.#at += 1;
    const digits = this.#text.slice(digitsFrom, this.#at);
    if (digits === '') {
      if (isNegative) throw this.#expected('a digit');
      return undefined;
    }
    const value = Number(this.#text.slice(from, this.#at));
    const isCanonical = digits.startsWith('0') ? digits === '0' && !isNegative : Number.isSafeInteger(value);
    if (isCanonical) return value;
    this.#at = from;
    throw this.#expected('a whole number from -(2^53-1) to 2^53-1 without leading zeros');
  }

  #shorthand(): Selector {
    const from = this.#at;
    for (let code = this.#code(); isNameCode(code) || (this.#at > from && isDigitCode(code)); code = this.#code()) {
      this.#at += unitsOf(code);
    }
    if (this.#at === from) throw this.#expected('a name or *');
    return { kind: 'name', name: this.#text.slice(from, this.#at) };
  }

  #quoted(quote: string): string {
    this.#at += 1;
    const parts: string[] = [];
    while (!this.#take(quote)) {
      const code = this.#code();
      if (code === undefined) throw this.#expected(`the ${quote} that ends the name`);
      if (code < 0x20 || isSurrogate(code)) throw this.#expected('an escape instead of this character');
      if (this.#take('\\')) parts.push(this.#escaped(quote));
      else {
        parts.push(String.fromCodePoint(code));
        this.#at += unitsOf(code);
      }
    }
    return parts.join('');
  }

  /** Reads the rest of an escape, after its backslash. */
  #escaped(quote: string): string {
    if (this.#take('u')) return this.#escapedCode();
    const next = this.#peek();
    const character = next === quote ? quote : ESCAPED.get(next);
    if (character === undefined) throw this.#expected('an escape of JSONPath');
    this.#at += 1;
    return character;
  }

  /** Reads the digits of a `\u` escape. After a high surrogate, the escape of a low surrogate must follow. */
  #escapedCode(): string {
    const high = this.#hex();
    if (!isSurrogate(high)) return String.fromCharCode(high);
    const low = high < 0xdc_00 && this.#take('\\') && this.#take('u') ? this.#hex() : 0;
    if (low >= 0xdc_00 && isSurrogate(low)) return String.fromCharCode(high, low);
    throw this.#expected('a complete surrogate pair');
  }

  #hex(): number {
    const digits = this.#text.slice(this.#at, this.#at + HEX_DIGITS);
    if (!/^[0-9A-Fa-f]{4}$/.test(digits)) throw this.#expected('four hexadecimal digits');
    this.#at += HEX_DIGITS;
    return Number.parseInt(digits, 16);
  }

  #counted(selector: Selector): Selector {
    this.#selectors += 1;
    if (this.#selectors <= MAX_PATH_SELECTORS) return selector;
    throw new JsonPathError(`has more than ${MAX_PATH_SELECTORS} selectors`);
  }

  #skipBlanks(): void {
    while (isBlank(this.#peek())) this.#at += 1;
  }

  #take(character: string): boolean {
    if (this.#peek() !== character) return false;
    this.#at += 1;
    return true;
  }

  /** Returns the next character without consuming it. Empty at the end of the text. */
  #peek(): string {
    return this.#text.charAt(this.#at);
  }

  #code(): number | undefined {
    return this.#text.codePointAt(this.#at);
  }

  #here(): string {
    return this.#at < this.#text.length ? `character ${this.#at + 1}` : 'its end';
  }

  #expected(what: string): JsonPathError {
    return new JsonPathError(`is not a JSONPath: at ${this.#here()} it needs ${what}`);
  }
}

function isBlank(character: string): boolean {
  return character === ' ' || character === '\t' || character === '\n' || character === '\r';
}

function isDigit(character: string): boolean {
  return character >= '0' && character <= '9';
}

function isDigitCode(code: number | undefined): boolean {
  return code !== undefined && code >= 0x30 && code <= 0x39;
}

/** Whether an unquoted name may begin with this code point: an ASCII letter, `_`, or any non-ASCII character. */
function isNameCode(code: number | undefined): code is number {
  if (code === undefined) return false;
  if (code >= 0x80) return !isSurrogate(code);
  return code === 0x5f || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}

function isSurrogate(code: number): boolean {
  return code >= 0xd8_00 && code <= 0xdf_ff;
}

/** The number of UTF-16 code units of a code point. */
function unitsOf(code: number | undefined): number {
  return code !== undefined && code > 0xff_ff ? 2 : 1;
}
