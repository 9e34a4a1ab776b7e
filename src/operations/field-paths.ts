import { KeyfoldError } from '../errors.ts';
import { JsonPathError, parseJsonPath, type Segment, type Selector, type Slice } from './json-path.ts';
import type { JsonValue } from './json-text.ts';

/** A parsed path of a request. */
interface Path {
  readonly segments: readonly Segment[];
  /**
   * The name of the path in errors, such as `fields[0]`. Errors do not quote the path, because it is the caller's text.
   */
  readonly name: string;
}

/**
 * The maximum number of values that the paths of a request may visit. It limits the cost of descendant segments and
 * wildcards.
 */
const MAX_STEPS = 1_000_000;

/**
 * Selects values of a document by JSONPath (RFC 9535). Each value is returned once, in the order of the document.
 * @throws KeyfoldError `InvalidRequest` if a path is malformed or has a filter, or if a selected value contains
 * another; `FieldNotFound` if a path selects nothing and `allowMissing` is false
 */
export function selectValues(
  root: JsonValue,
  paths: readonly string[],
  { allowMissing }: { readonly allowMissing: boolean },
): JsonValue[] {
  const selected = new Set<JsonValue>();
  const count = stepCounter('fields');
  for (const path of paths.map((text, i) => parsePath(text, i, 'fields'))) {
    const found = follow(path, root, count);
    if (found.size === 0 && !allowMissing) throw new KeyfoldError('FieldNotFound', `${path.name} selects nothing.`);
    for (const value of found) selected.add(value);
  }
  const inOrder = [...selected].toSorted((a, b) => a.start - b.start);
  const overlaps = inOrder.some((value, i) => value.start < (inOrder[i - 1]?.end ?? 0));
  if (overlaps) throw new KeyfoldError('InvalidRequest', 'The fields select a value inside another that they select.');
  return inOrder;
}

/** Reads the values of a path of `contextFrom`. */
export interface ValueReader {
  /** The start of the path: the document, or the element of the innermost array that contains the field. */
  readonly from: 'document' | 'element';
  readonly values: (root: JsonValue) => ReadonlySet<JsonValue>;
}

/**
 * Prepares paths for use with several fields. One limit applies to the total steps of all paths.
 * @param member the name of the member that holds the paths
 * @throws KeyfoldError `InvalidRequest` if a path is malformed
 */
export function readers(paths: readonly string[], member: string): ValueReader[] {
  const count = stepCounter(member);
  return paths.map((text, i) => {
    const from = text.startsWith('@') ? 'element' : 'document';
    const path = parsePath(from === 'element' ? `$${text.slice(1)}` : text, i, member);
    return { from, values: (root) => follow(path, root, count) };
  });
}

/** Returns the given values and all their descendants. */
export function withDescendants(values: Iterable<JsonValue>): Set<JsonValue> {
  const all = new Set(values);
  // The loop also visits the values that it adds to the Set.
  for (const value of all) for (const child of childrenOf(value)) all.add(child);
  return all;
}

function parsePath(text: string, index: number, member: string): Path {
  const name = `${member}[${index}]`;
  try {
    return { segments: parseJsonPath(text), name };
  } catch (error) {
    throw error instanceof JsonPathError ? invalid(`${name} ${error.message}`) : error;
  }
}

/**
 * Selects the values of one path. Values are kept in a set, so a value that several selectors reach is visited once.
 */
function follow({ segments }: Path, root: JsonValue, count: () => void): Set<JsonValue> {
  let reached = new Set([root]);
  for (const { descends, selectors } of segments) {
    const next = new Set<JsonValue>();
    for (const value of descends ? withDescendants(reached) : reached) {
      for (const selector of selectors) {
        count();
        for (const child of childrenBy(selector, value)) {
          count();
          next.add(child);
        }
      }
    }
    reached = next;
  }
  return reached;
}

function childrenOf({ members, items }: JsonValue): Iterable<JsonValue> {
  return members?.values() ?? items ?? [];
}

function childrenBy(selector: Selector, value: JsonValue): Iterable<JsonValue> {
  switch (selector.kind) {
    case 'name':
      return present(value.members?.get(selector.name));
    case 'index':
      return present(value.items?.at(selector.index));
    case 'slice':
      return slice(value.items ?? [], selector);
    case 'wildcard':
    default:
      return childrenOf(value);
  }
}

/** The items that a slice selects (RFC 9535, section 2.3.4.2.2). */
function* slice(items: readonly JsonValue[], { start, end, step }: Slice): Iterable<JsonValue> {
  if (step === 0) return;
  const size = items.length;
  const [lowest, highest] = step > 0 ? [0, size] : [-1, size - 1];
  const bound = (given: number | undefined, otherwise: number): number =>
    given === undefined ? otherwise : Math.min(Math.max(given < 0 ? size + given : given, lowest), highest);
  const from = bound(start, step > 0 ? lowest : highest);
  const to = bound(end, step > 0 ? highest : lowest);
  for (let i = from; step > 0 ? i < to : i > to; i += step) yield* present(items[i]);
}

function present(value: JsonValue | undefined): readonly JsonValue[] {
  return value === undefined ? [] : [value];
}

function stepCounter(member: string): () => void {
  let steps = 0;
  return () => {
    steps += 1;
    if (steps > MAX_STEPS) throw invalid(`${member} take more than ${MAX_STEPS} steps through the document`);
  };
}

function invalid(what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The request's ${what}.`);
}
