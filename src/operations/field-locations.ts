import { KeyfoldError } from '../errors.ts';
import type { JsonValue } from './json-text.ts';

/**
 * How a field is bound to its path. `exact` keeps the indexes of arrays, and `none` means no path. If the value is
 * undefined, each index becomes `*`, so that the path stays the same if an array is reordered.
 */
export type BindPath = 'exact' | 'none' | undefined;

/** The place of a value in a document. */
export interface FieldLocation {
  /** The normalized path (RFC 9535, section 2.7). Empty for `none`. */
  readonly path: string;
  /** The element of the innermost array around the value. Undefined if the value is in no array. */
  readonly element: JsonValue | undefined;
}

/** The locations of the given values, and all values that neither contain a given value nor are part of one. */
export interface FieldLocations {
  readonly of: ReadonlyMap<JsonValue, FieldLocation>;
  readonly outside: ReadonlySet<JsonValue>;
}

/**
 * The maximum total length of the names above a bound field, in characters. Each field has its own path. So a thousand
 * fields below one long name would need a thousand times the memory of that name.
 */
const MAX_NAME_CHARACTERS = 4096;
/**
 * The maximum total length of all paths in a document, in characters. Without this limit, 100,000 fields below one name
 * of 4,096 control characters would need gigabytes of memory.
 */
const MAX_PATH_CHARACTERS = 32 * 1024 * 1024;

/**
 * Locates values of a document. It visits each value once, and builds only the paths of the given values.
 * @throws KeyfoldError `InvalidRequest` if the names above a value, or all paths together, are too long
 */
export function locateFields(root: JsonValue, fields: Iterable<JsonValue>, bindPath: BindPath): FieldLocations {
  const wanted = new Set(fields);
  const stepText = bindPath === 'exact' ? exactStep : anyIndexStep;
  const found = new Map<JsonValue, FieldLocation>();
  const outside = new Set<JsonValue>();
  const steps: Step[] = [];
  // The paths to the values that contain the current value. A path is built only if a field needs it, and only once,
  // because a thousand fields may be below one long name.
  const paths: string[] = [];
  let nameCharacters = 0;
  let pathCharacters = 0;
  const path = (): string => {
    if (bindPath === 'none') return '';
    if (nameCharacters > MAX_NAME_CHARACTERS) throw tooLong('names above a field', MAX_NAME_CHARACTERS);
    for (const step of steps.slice(paths.length)) paths.push(`${paths.at(-1) ?? '$'}${stepText(step)}`);
    const built = paths.at(-1) ?? '$';
    pathCharacters += built.length;
    if (pathCharacters > MAX_PATH_CHARACTERS) throw tooLong('paths of all fields together', MAX_PATH_CHARACTERS);
    return built;
  };
  const leave = (): void => {
    steps.pop();
    if (paths.length > steps.length) paths.pop();
  };
  const visit = (value: JsonValue, element: JsonValue | undefined): void => {
    if (wanted.has(value)) {
      found.set(value, { path: path(), element });
      return;
    }
    outside.add(value);
    for (const [name, member] of value.members ?? []) {
      steps.push(name);
      nameCharacters += name.length;
      visit(member, element);
      nameCharacters -= name.length;
      leave();
    }
    for (const [i, item] of value.items?.entries() ?? []) {
      steps.push(i);
      visit(item, item);
      leave();
    }
  };
  visit(root, undefined);
  return { of: found, outside };
}

/** The name of a member, or the index of an item. */
type Step = string | number;

function tooLong(what: string, limit: number): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The ${what} have more than ${limit} characters.`);
}

function exactStep(step: Step): string {
  return typeof step === 'number' ? `[${step}]` : `['${escaped(step)}']`;
}

function anyIndexStep(step: Step): string {
  return typeof step === 'number' ? '[*]' : exactStep(step);
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\b': String.raw`\b`,
  '\t': String.raw`\t`,
  '\n': String.raw`\n`,
  '\f': String.raw`\f`,
  '\r': String.raw`\r`,
  "'": String.raw`\'`,
  '\\': String.raw`\\`,
};

/** Escapes a name for a normalized path. */
function escaped(name: string): string {
  // oxlint-disable-next-line no-control-regex -- RFC 9535 escapes control characters
  return name.replaceAll(/[\u0000-\u001f'\\]/g, (character) => {
    return ESCAPES[character] ?? String.raw`\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
