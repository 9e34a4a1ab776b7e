import { KeyfoldError } from '../errors.ts';
import { JsonPathError, parseJsonPath, type Segment, type Selector, type Slice } from './json-path.ts';
import type { JsonValue } from './json-text.ts';

/** A path of a request, parsed. */
interface Path {
  readonly segments: readonly Segment[];
  /** How errors name it, since its text is the caller's. */
  readonly name: string;
}

/** How many values the paths of one request may step on, which bounds what descendants and wildcards can cost. */
const MAX_STEPS = 1_000_000;
/**
 * The values of a document that some paths select (JSONPath, RFC 9535), in the document's order, each once.
 * @throws KeyfoldError `InvalidRequest` for a path that is none or has a filter, and where one value is inside another;
 * `FieldNotFound` for a path that selects nothing
 */
export function selectValues(
  root: JsonValue,
  paths: readonly string[],
  { allowMissing }: { readonly allowMissing: boolean },
): JsonValue[] {
  const selected = new Set<JsonValue>();
  const count = stepCounter();
  for (const path of paths.map(parsePath)) {
    const found = follow(path, root, count);
    if (found.size === 0 && !allowMissing) throw new KeyfoldError('FieldNotFound', `${path.name} selects nothing.`);
    for (const value of found) selected.add(value);
  }
  const inOrder = [...selected].toSorted((a, b) => a.start - b.start);
  const overlaps = inOrder.some((value, i) => value.start < (inOrder[i - 1]?.end ?? 0));
  if (overlaps) throw new KeyfoldError('InvalidRequest', 'The fields select a value inside another that they select.');
  return inOrder;
}

/** The values and all that is inside them, at any depth. */
export function withDescendants(values: Iterable<JsonValue>): Set<JsonValue> {
  const all = new Set(values);
  // A set goes on to what is added to it on the way.
  for (const value of all) for (const child of childrenOf(value)) all.add(child);
  return all;
}

function parsePath(text: string, index: number): Path {
  const name = `fields[${index}]`;
  try {
    return { segments: parseJsonPath(text), name };
  } catch (error) {
    throw error instanceof JsonPathError ? invalid(`${name} ${error.message}`) : error;
  }
}

/** Each segment starts from a set: a value that was reached in two ways is stepped on once. */
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

/** RFC 9535, section 2.3.4.2.2. */
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

function stepCounter(): () => void {
  let steps = 0;
  return () => {
    steps += 1;
    if (steps > MAX_STEPS) throw invalid(`fields take more than ${MAX_STEPS} steps through the document`);
  };
}

function invalid(what: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The request's ${what}.`);
}
