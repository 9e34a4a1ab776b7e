import type { JsonValue } from './json-text.ts';

/** The place of a value in a document. */
export interface FieldLocation {
  /** The normalized path (RFC 9535, section 2.7). */
  readonly exactPath: string;
  /** The same path with `*` for each array index, so that it stays the same if an array is reordered. */
  readonly path: string;
  /** The element of the innermost array around the value. Undefined if the value is in no array. */
  readonly element: JsonValue | undefined;
}

/** The locations of the given values, and all other values that neither contain nor are part of a given value. */
export interface FieldLocations {
  readonly of: ReadonlyMap<JsonValue, FieldLocation>;
  readonly outside: ReadonlySet<JsonValue>;
}

/** Locates values of a document. It visits each value once, and builds the paths of the given values only. */
export function locateFields(root: JsonValue, fields: Iterable<JsonValue>): FieldLocations {
  const wanted = new Set(fields);
  const found = new Map<JsonValue, FieldLocation>();
  const outside = new Set<JsonValue>();
  const steps: Step[] = [];
  const visit = (value: JsonValue, element: JsonValue | undefined): void => {
    if (wanted.has(value)) {
      found.set(value, { exactPath: pathOf(steps, exactStep), path: pathOf(steps, anyIndexStep), element });
      return;
    }
    outside.add(value);
    for (const [name, member] of value.members ?? []) {
      steps.push(name);
      visit(member, element);
      steps.pop();
    }
    for (const [i, item] of value.items?.entries() ?? []) {
      steps.push(i);
      visit(item, item);
      steps.pop();
    }
  };
  visit(root, undefined);
  return { of: found, outside };
}

/** The name of a member, or the index of an item. */
type Step = string | number;

function pathOf(steps: readonly Step[], textOf: (step: Step) => string): string {
  return `$${steps.map(textOf).join('')}`;
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
